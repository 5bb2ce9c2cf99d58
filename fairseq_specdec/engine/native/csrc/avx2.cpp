// Built for x86-64-v3: AVX2 and FMA; see setup.py.
#include "exports.h"
