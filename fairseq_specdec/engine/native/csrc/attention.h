// Scaled dot-product attention over a ragged cache. Queries that look at the same positions read keys and values together.
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

constexpr int kQueries = 40;  // that look at the same keys together: their scores stay in the second cache
constexpr int kKeyTile = 16;  // values that meet all of them before the next ones: they stay in the first cache

// Positions that a query looks at, in their order: those of the row up to a number, or those of a path.
struct Visible {
    int64_t n;
    const int32_t* slots;  // [n], or null: 0, 1, 2 ...
    int64_t operator[](int64_t i) const { return slots ? slots[i] : i; }
};

// Queries of one row and head that look at the same positions.
struct Queries {
    const float* first;
    int64_t stride, n;  // floats from one to the next; 1..kQueries
    float* out;
    int64_t out_stride;
    float* scores;  // [n, room]
    int64_t room;   // visible positions rounded up to kWidth, at least
};

// Calls with 4, 2 or 1 queries at a time until all had their turn.
template <typename Call>
static inline void by_fours(int64_t n, const Call& call) {
    int64_t q = 0;
    for (; q + 4 <= n; q += 4) call(std::integral_constant<int, 4>(), q);
    for (; q + 2 <= n; q += 2) call(std::integral_constant<int, 2>(), q);
    for (; q < n; ++q) call(std::integral_constant<int, 1>(), q);
}

// Products of some queries with kWidth keys: a sum of its own for each, whatever the number of queries.
template <int kN>
static inline void products(const float* query, int64_t stride, const float* const* keys, int64_t n, Vec* totals) {
    constexpr int kKeys = kN == 1 ? kWidth : std::min(kWidth, 8 / kN);  // so many sums stay in registers
    Vec acc[kN][kWidth];
    int64_t d = 0;
    for (int first = 0; first < kWidth; first += kKeys) {
        Vec part[kN][kKeys] = {};
        for (d = 0; d + kWidth <= n; d += kWidth) {
            Vec own[kN];
            UNROLLED for (int q = 0; q < kN; ++q) own[q] = load(query + q * stride + d);
            UNROLLED for (int k = 0; k < kKeys; ++k) {
                const Vec key = load(keys[first + k] + d);
                UNROLLED for (int q = 0; q < kN; ++q) part[q][k] = fma(own[q], key, part[q][k]);
            }
        }
        UNROLLED for (int q = 0; q < kN; ++q)
            UNROLLED for (int k = 0; k < kKeys; ++k) acc[q][first + k] = part[q][k];
    }
    for (int q = 0; q < kN; ++q) totals[q] = sums(acc[q]);
    for (; d < n; ++d) {
        float at[kWidth];
        for (int k = 0; k < kWidth; ++k) at[k] = keys[k][d];
        for (int q = 0; q < kN; ++q) totals[q] = fma(broadcast(query[q * stride + d]), load(at), totals[q]);
    }
}

// Adds values by their keys' shares to what some queries have: kVectors * kWidth channels, positions begin to end.
template <int kN, int kVectors>
static inline void weigh(const Queries& w, int64_t q, const float* values, const Visible& seen, int64_t stride,
                         int64_t begin, int64_t end, float* out) {
    Vec acc[kN][kVectors];
    UNROLLED for (int r = 0; r < kN; ++r)
        UNROLLED for (int i = 0; i < kVectors; ++i)
            acc[r][i] = begin ? load(out + r * w.out_stride + i * kWidth) : Vec{};
    for (int64_t j = begin; j < end; ++j) {
        const float* value = values + seen[j] * stride;
        Vec share[kN];
        UNROLLED for (int r = 0; r < kN; ++r) share[r] = broadcast(w.scores[(q + r) * w.room + j]);
        UNROLLED for (int i = 0; i < kVectors; ++i) {
            const Vec v = load(value + i * kWidth);
            UNROLLED for (int r = 0; r < kN; ++r) acc[r][i] = fma(share[r], v, acc[r][i]);
        }
    }
    UNROLLED for (int r = 0; r < kN; ++r)
        UNROLLED for (int i = 0; i < kVectors; ++i) store(out + r * w.out_stride + i * kWidth, acc[r][i]);
}

// Scores of all queries with the positions that they see; returns the greatest of each lane in highest [n].
static void score(const Queries& w, const Keys& at, const float* keys, const float* mask, const Visible& seen,
                  int64_t head_dim, float scale, Vec* highest) {
    const Vec lowest = broadcast(-INFINITY);
    for (int64_t q = 0; q < w.n; ++q) highest[q] = lowest;
    for (int64_t j = 0; j < seen.n; j += kWidth) {
        const int64_t left = seen.n - j;  // behind them the last key stands in, and does not count
        const float* at_key[kWidth];
        for (int64_t k = 0; k < kWidth; ++k) at_key[k] = keys + seen[j + std::min(k, left - 1)] * at.stride;
        float hidden[kWidth] = {};
        if (mask) std::memcpy(hidden, mask + j, std::min<int64_t>(kWidth, left) * sizeof(float));
        by_fours(w.n, [&](auto number, int64_t q) {
            constexpr int kN = decltype(number)::value;
            Vec s[kN];
            products<kN>(w.first + q * w.stride, w.stride, at_key, head_dim, s);
            for (int r = 0; r < kN; ++r) {
                s[r] = s[r] * scale;
                if (mask) s[r] += load(hidden);
                if (left < kWidth) s[r] = first() < static_cast<int32_t>(left) ? s[r] : lowest;
                store(w.scores + (q + r) * w.room + j, s[r]);
                highest[q + r] = greater(s[r], highest[q + r]);
            }
        });
    }
}

// Every query gets the bits that it would get alone.
static void attend(const Queries& w, const Keys& at, const Visible& seen, int64_t row, int64_t head, int64_t head_dim,
                   float scale) {
    const float* keys = at.keys + row * at.row_stride + head * at.head_stride;
    const float* values = at.values + row * at.row_stride + head * at.head_stride;
    Vec highest[kQueries];
    score(w, at, keys, at.mask ? at.mask + row * at.extent : nullptr, seen, head_dim, scale, highest);
    float shares[kQueries];
    for (int64_t q = 0; q < w.n; ++q) {
        float* scores = w.scores + q * w.room;
        const float top = highest_of(highest[q]);
        Vec total = {};
        for (int64_t j = 0; j < seen.n; j += kWidth) {
            const Vec p = exp_nonpositive(load(scores + j) - top);
            store(scores + j, p);
            total += p;
        }
        shares[q] = 1.0f / sum(total);
    }
    const int64_t whole = head_dim - head_dim % kWidth, tile = w.n == 1 ? seen.n : kKeyTile;
    for (int64_t begin = 0; begin < seen.n; begin += tile)
        by_fours(w.n, [&](auto number, int64_t q) {
            constexpr int kN = decltype(number)::value, kMost = 8 / kN;
            const int64_t end = std::min(seen.n, begin + tile);
            float* out = w.out + q * w.out_stride;
            int64_t d = 0;
            for (; d + kMost * kWidth <= whole; d += kMost * kWidth)
                weigh<kN, kMost>(w, q, values + d, seen, at.stride, begin, end, out + d);
            for (; d < whole; d += kWidth) weigh<kN, 1>(w, q, values + d, seen, at.stride, begin, end, out + d);
        });
    for (int64_t q = 0; q < w.n; ++q) {
        float* out = w.out + q * w.out_stride;
        for (int64_t d = 0; d < whole; d += kWidth) store(out + d, load(out + d) * shares[q]);
        for (int64_t d = whole; d < head_dim; ++d) {
            float acc = 0.0f;
            for (int64_t j = 0; j < seen.n; ++j)
                acc = fma(w.scores[q * w.room + j], values[seen[j] * at.stride + d], acc);
            out[d] = acc * shares[q];
        }
    }
}
