"""`python -m vct`, which is how vct runs itself again under sudo."""

from vct.cli.main import main

if __name__ == "__main__":
    main()
