"""`python -m untrained`."""

if __name__ == "__main__":  # a worker process, which imports this too, needs none of it
    import sys

    from untrained.plugins import working_folder_last

    sys.path = working_folder_last(sys.path)  # where `-m` has put it first

    from untrained.cli import main

    main()
