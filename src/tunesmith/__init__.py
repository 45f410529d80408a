"""tunesmith: should I prompt, retrieve or fine-tune? A measured answer and the tuned model.

Every name is loaded on first use: importing tunesmith loads no torch, opens no socket, writes
nothing. The names stand in `__init__.pyi`, which type checkers read too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
