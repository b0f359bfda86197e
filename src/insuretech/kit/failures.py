"""What a person who runs the program can put right."""


class Unusable(Exception):
    """Something around us cannot be used: a setting, a folder, a port, the database.

    The message is one sentence for a person; the command ends with it and exit code 1, without a stack trace.
    """
