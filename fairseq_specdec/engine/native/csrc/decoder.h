// A decoder's pass: tokens in, log-probabilities out, in one team of threads.
#pragma once

#include "layer.h"

struct Embedding {
    const float* table;  // [symbols, C]
    int64_t symbols;
    double scale;
    const float* positions;  // [n_positions, C], or null
    int64_t first, n_positions;  // row of position 0; past the table's end its last row is given
    Norm norm;                   // its weight is null where there is none
};

struct Decoder {
    int64_t channels;
    Embedding embedding;
    const Layer* const* layers;
    int64_t n_layers;
    Norm final_norm;  // its weight is null where there is none
    Linear output;
};

// Whether all tokens have a row in the table.
static bool can_embed(const Embedding& e, const int64_t* tokens, int64_t n) {
    return std::all_of(tokens, tokens + n, [&](int64_t token) { return 0 <= token && token < e.symbols; });
}

// tokens of row r stand at positions lengths[r] and on, or at the ends of their paths.
static void embed(const Decoder& w, const int64_t* tokens, int64_t rows, int64_t width, const int64_t* lengths,
                  const Paths* paths, float* x, const Worker& worker) {
    const Embedding& e = w.embedding;
    const int64_t C = w.channels, n = rows * width;
    for (int64_t p = worker.begin(n), end = worker.end(n); p < end; ++p) {
        const float scale = e.scale, *from = e.table + tokens[p] * C;
        float* to = x + p * C;
        for (int64_t c = 0; c < C; ++c) to[c] = from[c] * scale;
        if (e.positions) {
            const int64_t place = paths ? paths->depths[p] : lengths[p / width] + p % width;
            const int64_t index = std::min(e.first + place, e.n_positions - 1);
            for (int64_t c = 0; c < C; ++c) to[c] += e.positions[index * C + c];
        }
        if (e.norm.weight) norm(e.norm, to, to, C);
    }
}

// Embedding, layers and last norm of a team's pass: x [rows, width, C]. The other arguments are those of specdec_decode.
static void run_stack(const Decoder& w, const int64_t* tokens, int64_t rows, int64_t width, const int64_t* lengths,
                      const Cache* cache, const Keys* self, const Keys* source, int64_t extent, const Paths* paths,
                      float* x, float* scratch, const Worker& worker) {
    const int64_t n = rows * width;
    embed(w, tokens, rows, width, lengths, paths, x, worker);
    wait_for_team();
    for (int64_t i = 0; i < w.n_layers; ++i) {
        Keys own = self[i];
        own.lengths = lengths;
        own.extent = extent;
        Pass(*w.layers[i], x, rows, width, scratch, paths).run(cache[i], own, source + i, worker);
    }
    if (w.final_norm.weight) {
        for (int64_t p = worker.begin(n), end = worker.end(n); p < end; ++p)
            norm(w.final_norm, x + p * w.channels, x + p * w.channels, w.channels);
        wait_for_team();
    }
}

// Log-softmax in place. Returns whether the scores are numbers; if one is NaN all are.
static bool log_softmax(float* x, int64_t n, float temperature) {
    constexpr int kStep = 4 * kWidth;  // four sums at a time: one would wait for itself
    const int64_t whole = n - n % kStep;
    Vec highest[4], total[4] = {};
    float top = -INFINITY, rest = 0.0f;
    if (temperature != 1.0f)
        for (int64_t i = 0; i < n; ++i) x[i] /= temperature;
    for (Vec& v : highest) v = broadcast(top);
    for (int64_t i = 0; i < whole; i += kStep)
        for (int j = 0; j < 4; ++j) highest[j] = greater(load(x + i + j * kWidth), highest[j]);
    for (int64_t i = whole; i < n; ++i) top = x[i] > top ? x[i] : top;
    for (const Vec& v : highest) top = std::max(top, highest_of(v));
    for (int64_t i = 0; i < whole; i += kStep)
        for (int j = 0; j < 4; ++j) total[j] += exp_nonpositive(load(x + i + j * kWidth) - top);
    for (int64_t i = whole; i < n; ++i) rest += std::exp(x[i] - top);
    const float log_total = std::log(sum((total[0] + total[1]) + (total[2] + total[3])) + rest);
    for (int64_t i = 0; i < whole; i += kWidth) store(x + i, load(x + i) - top - log_total);
    for (int64_t i = whole; i < n; ++i) x[i] = x[i] - top - log_total;
    return log_total == log_total;
}
