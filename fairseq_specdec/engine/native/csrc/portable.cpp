// Built for whatever the compiler assumes; see setup.py.
#include "exports.h"
