// Built with AVX-512; see setup.py.
#include "exports.h"
