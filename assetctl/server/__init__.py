"""The HTTP faces: assetctl's own, A1111's and OpenAI's, over one queue of jobs and one warm worker.

Importing this package is cheap; its modules need the extra `serve`.
"""
