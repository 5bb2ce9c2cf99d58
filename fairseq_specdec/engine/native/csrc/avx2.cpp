// Built with AVX2 and FMA; see setup.py.
#include "exports.h"
