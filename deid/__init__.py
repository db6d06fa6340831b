"""I take identity out of MRI, and say what I took.

A file comes in, a **new** file goes out that holds only what the profile names (`profile`, `profiles/*.toml`); everything else is left behind
and accounted for (`account`). Nothing here knows a database, and no message of this room ever holds an identifying value.

The doors are few; what stands behind each:

- `elements` (read and write one file): tree, reading, envelope, writing, dictionary, values, streams.
- `headers` (one file anew): objects, gathering, rewriting, actions, figures, coding, ages, colour, picture, facts, signing, subject.
- `vendor` (private elements): safe_private, csa, asc_protocol, ge_blocks.
- `pseudonyms`, `uids`, `dates`, `moments`: what takes the place of people, names of things and days; `identity`, `people`, `names`, `declared`: whose it is.
- `descriptors` (text that stays): identifying, spellings, vocabulary, dates_in_text.
- `pixels` (writing in pictures): frames, glance, strokes, newcomers, projections, shelf, ocr, hiding.
- `verify` (the last gate): parts, unpacked, spoken, manners, sought, needles, printable, decoding.
- `standalone` (the desk's command): inputs, isolated, confine, tasks, person, place.
- `faces` (no face, whole brain): facecommand, placing, headfit, flirt, facezones, facefill, verdicts; spineface, sideview for necks; the proof: proof, second,
  surface, skin, moved, render.
"""
