"""What programs write into pictures, one dialect a file. A file here offers `DIALECT` and is found by its place."""
