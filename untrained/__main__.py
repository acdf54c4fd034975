"""`python -m untrained`."""

if __name__ == "__main__":
    from untrained.cli import main  # a worker process, which imports this too, needs none of it

    main()
