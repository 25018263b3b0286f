"""`python -m tools.docs`: write the generated sections of the documents anew."""

from tools.docs.documents import DOCUMENTS, generated

if __name__ == "__main__":
    for path in DOCUMENTS:
        text = generated(path)
        if text != path.read_text():
            path.write_text(text)
            print(f"{path} is written anew.")  # noqa: T201 - the command's output
