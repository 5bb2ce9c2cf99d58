// Scaled dot-product attention of few queries over a ragged cache, one (row, head, query) after the other.
#pragma once

#include <algorithm>
#include <cmath>

#include "vec.h"

// Positions of a pass that do not follow one another: each has a path of its own through the row's slots, itself last.
// A slot is a place of the cache; a path need not be in the order of the slots, and paths may share their beginning.
struct Paths {
    const int32_t* slots;   // [rows, width, stride]
    int64_t stride;
    const int64_t* depths;  // [rows, width], positions of the path before the own one
};

struct Keys {
    const float *keys, *values;
    int64_t row_stride, head_stride, stride;  // floats from row to row, head to head, position to position
    int64_t extent;                           // positions that there are
    const int64_t* lengths;                   // [rows], committed positions, or null: all that there are are seen
    int64_t ahead;                            // positions that a query sees behind the committed ones; 0: up to itself
    const float* mask;                        // [rows, extent], added to the scores, or null
};

// Products of a query with 16 keys.
static inline Vec products(const float* query, const float* const* keys, int64_t n) {
    Vec acc[kLanes] = {};
    int64_t d = 0;
    for (; d + kLanes <= n; d += kLanes) {
        const Vec q = load(query + d);
        for (int k = 0; k < kLanes; ++k) acc[k] += q * load(keys[k] + d);
    }
    for (; d < n; ++d)
        for (int k = 0; k < kLanes; ++k) acc[k][d % kLanes] += query[d] * keys[k][d];
    return sums(acc);
}

static inline float highest_of(Vec v) {
    float highest = v[0];
    for (int i = 1; i < kLanes; ++i) highest = v[i] > highest ? v[i] : highest;
    return highest;
}

// Positions that a query looks at, in their order: those of the row up to a number, or those of a path.
struct Visible {
    int64_t n;
    const int32_t* slots;  // [n], or null: 0, 1, 2 ...
    int64_t operator[](int64_t i) const { return slots ? slots[i] : i; }
};

// scores: room for all visible positions, rounded up to 16.
static void attend(const float* query, const Keys& at, const Visible& seen, int64_t row, int64_t head, int64_t head_dim,
                   float scale, float* scores, float* out) {
    const int64_t visible = seen.n;
    const float* keys = at.keys + row * at.row_stride + head * at.head_stride;
    const float* values = at.values + row * at.row_stride + head * at.head_stride;
    const float* mask = at.mask ? at.mask + row * at.extent : nullptr;
    const Vec lowest = broadcast(-INFINITY);
    Vec highest = lowest;
    for (int64_t j = 0; j < visible; j += kLanes) {
        const int64_t left = visible - j;  // behind them the last key stands in, and does not count
        const float* at_key[kLanes];
        for (int64_t k = 0; k < kLanes; ++k) at_key[k] = keys + seen[j + std::min(k, left - 1)] * at.stride;
        Vec s = products(query, at_key, head_dim) * scale;
        if (mask) {
            float hidden[kLanes] = {};
            std::memcpy(hidden, mask + j, std::min<int64_t>(kLanes, left) * sizeof(float));
            s += load(hidden);
        }
        if (left < kLanes) s = kFirst < static_cast<int32_t>(left) ? s : lowest;
        store(scores + j, s);
        highest = s > highest ? s : highest;
    }
    const float top = highest_of(highest);
    Vec total = {};
    for (int64_t j = 0; j < visible; j += kLanes) {
        const Vec p = exp_nonpositive(load(scores + j) - top);
        store(scores + j, p);
        total += p;
    }
    const float share = 1.0f / sum(total);
    int64_t d = 0;
    for (; d + 4 * kLanes <= head_dim; d += 4 * kLanes) {
        Vec acc[4] = {};
        for (int64_t j = 0; j < visible; ++j)
            for (int i = 0; i < 4; ++i) acc[i] += scores[j] * load(values + seen[j] * at.stride + d + i * kLanes);
        for (int i = 0; i < 4; ++i) store(out + d + i * kLanes, acc[i] * share);
    }
    for (; d + kLanes <= head_dim; d += kLanes) {
        Vec acc = {};
        for (int64_t j = 0; j < visible; ++j) acc += scores[j] * load(values + seen[j] * at.stride + d);
        store(out + d, acc * share);
    }
    for (; d < head_dim; ++d) {
        float acc = 0.0f;
        for (int64_t j = 0; j < visible; ++j) acc += scores[j] * values[seen[j] * at.stride + d];
        out[d] = acc * share;
    }
}
