"""The pages people look at. A roof like the API: it shows and asks, the apps below decide."""
