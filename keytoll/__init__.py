"""keytoll: the only code that knows every folder.

In a wheel the five top-level folders (api, domain, pricing, projections, workers) are carried
inside this package; in a checkout they lie beside it. Putting the bundled ones first on the path
keeps another distribution's top-level `api` from being imported by mistake.
"""

import sys
from importlib.metadata import version
from pathlib import Path

_BUNDLED = Path(__file__).parent / "_bundled"
if _BUNDLED.is_dir() and str(_BUNDLED) not in sys.path:
    sys.path.insert(0, str(_BUNDLED))

VERSION = version("keytoll")
PROGRAM = f"keytoll {VERSION}"
