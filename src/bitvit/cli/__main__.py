"""`python -m bitvit.cli`."""

import sys

from bitvit.cli import main

sys.exit(main())
