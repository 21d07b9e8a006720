"""``python -m proctor_cluster``."""

from proctor_cluster.main import main

raise SystemExit(main())
