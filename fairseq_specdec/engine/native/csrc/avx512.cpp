// Built for x86-64-v4: AVX-512; see setup.py.
#include "exports.h"
