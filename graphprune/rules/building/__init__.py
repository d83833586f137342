"""From the text of rule files to a rule set: every fault of every file in one run."""
