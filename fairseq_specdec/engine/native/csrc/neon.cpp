// Built for AArch64, all of which has NEON; see setup.py.
#include "exports.h"
