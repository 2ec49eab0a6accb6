"""The machinery of the project: read it, and let template updates change it.

Rooms, each of which imports only from those before it; none imports the user's rooms (models/,
datasets/, evaluators/, callbacks/, util/), which are reached by name through plugins.py:

    errors, processes       one-line refusals; which of several processes this is
    contracts, plugins      what a plug-in promises; finding one by its class name
    config/                 from the words typed to a checked configuration
    runs/                   one stored run: written, locked, found, read, rebuilt, resumed
    training/               around and inside trainer.fit
    reports/                finished runs made readable
    commands/               one file for each command besides train and evaluate
"""
