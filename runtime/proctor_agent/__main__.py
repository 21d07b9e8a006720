"""`python -m proctor_agent`."""

import sys

from proctor_agent.main import main

sys.exit(main())
