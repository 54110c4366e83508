"""One script a model: `python3 build.py train <script>`; resumable; configurations are dataclasses."""
