"""The checker that executes annotations in tests: beartype, where an int is a float."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
