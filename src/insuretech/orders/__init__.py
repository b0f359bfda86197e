"""Orders, payments, policies and cancellations.

Beside the files every service has: ``saga`` takes up orders that are due, ``calls`` makes the outside call of a step,
``cancelling`` holds the commands that end things, ``policyholders`` is the one place that encrypts people, ``papers``
answers what documents ask, ``rows`` and ``statements`` are the repository's SQL, ``views`` the shapes of the API,
``testing`` the twins in memory.
"""
