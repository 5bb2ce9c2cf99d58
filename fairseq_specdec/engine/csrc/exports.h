// What the library exports; included once by each instruction set's source.
#include "layer.h"

extern "C" {

// Goes up with every change of a struct or of what a function takes; native.py has the same number.
int64_t specdec_interface() { return 1; }

// Floats of scratch memory that a pass over so many positions needs.
int64_t specdec_scratch(const Layer* w, int64_t positions) {
    return positions * (2 * w->channels + std::max(3 * w->channels, w->fc1.outputs));
}

// x [rows, width, C] becomes the layer's output. source: null in an encoder layer. The team may come out smaller than
// asked for: work is shared among the threads that there are.
void specdec_layer(const Layer* w, float* x, int64_t rows, int64_t width, float* scratch, const Cache* cache,
                   const Keys* self, const Keys* source, int64_t threads) {
    Pass pass(*w, x, rows, width, scratch);
#pragma omp parallel num_threads(threads)
    pass.run(*cache, *self, source);
}

// [rows, inputs] -> [rows, outputs].
void specdec_linear(const Linear* w, const float* x, int64_t rows, float* out, int64_t threads) {
#pragma omp parallel num_threads(threads)
    linear(*w, x, rows, out, w->outputs, kStore, Worker{omp_get_thread_num(), omp_get_num_threads()});
}
}
