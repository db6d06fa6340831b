"""I take identity out of MRI, and say what I took.

A file comes in, a **new** file goes out that holds only what the profile names (`profile`, `profiles/*.toml`); everything else is left behind
and accounted for (`account`). Nothing here knows a database, and no message of this room ever holds an identifying value.
"""
