// Linear maps over weights that are laid out in panels of 16 outputs: [outputs / 16][inputs][16].
//
// Every output is one sum over the inputs in their order, whatever the number of rows and threads: a position gets the
// same bits whether it is computed alone or in a block.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "vec.h"

// One thread of a team, and its share of n pieces of work.
struct Worker {
    const int64_t index, team;
    int64_t begin(int64_t n) const { return n * index / team; }
    int64_t end(int64_t n) const { return n * (index + 1) / team; }
};

enum Kind : int64_t { kFloat, kBfloat16, kInt8 };

struct Linear {
    const void* panels;
    const float* bias;    // [outputs] or null
    const float* scales;  // [outputs], what sums are multiplied by, or null
    int64_t inputs, outputs;
    int64_t kind;  // of the numbers in the panels; sums are float32 whatever it is
};

enum Epilogue : int64_t { kStore, kRelu, kGelu, kAdd };  // what happens to the sums: kAdd adds them to what is there

constexpr int kMaxRows = kAccumulators < 12 ? kAccumulators : 12;  // of a tile

static inline float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678f)); }

constexpr int kAsk = 64;  // inputs ahead of the multiplications

// kAhead: ask for weights, so that they are in the second cache when it is their turn. Behind the end of a panel come
// those of the next group, whose first inputs nobody else would ask for in time.
template <typename Number, int kRows, int kPanels, bool kAhead>
static void tile(const Linear& w, const float* x, int64_t first_panel, float* sums) {
    const Number* panel = static_cast<const Number*>(w.panels) + first_panel * w.inputs * kLanes;
    const int64_t next = w.inputs * kLanes, last = w.inputs - kAsk;
    Vec acc[kRows][kPanels] = {};
    for (int64_t k = 0; k < w.inputs; ++k) {
        const int64_t ahead = kAsk * kLanes + (k < last ? 0 : (kPanels - 1) * next);
        Vec b[kPanels];
        for (int p = 0; p < kPanels; ++p) {
            const Number* at = panel + p * next + k * kLanes;
            b[p] = load(at);
            if (kAhead) __builtin_prefetch(at + ahead, 0, 2);
        }
        for (int r = 0; r < kRows; ++r)
            for (int p = 0; p < kPanels; ++p) acc[r][p] += x[r * w.inputs + k] * b[p];
    }
    std::memcpy(sums, acc, sizeof acc);
}

// sums [rows, panels * 16] with bias and epilogue -> out.
static void finish(const Linear& w, const float* sums, int64_t rows, int64_t first, int64_t panels, float* out,
                   int64_t stride, Epilogue epilogue) {
    const int64_t begin = first * kLanes, width = std::min(panels * kLanes, w.outputs - begin);
    for (int64_t r = 0; r < rows; ++r) {
        const float* from = sums + r * panels * kLanes;
        float* to = out + r * stride + begin;
        for (int64_t j = 0; j < width; ++j) {
            float v = w.scales ? from[j] * w.scales[begin + j] : from[j];
            v += w.bias ? w.bias[begin + j] : 0.0f;
            if (epilogue == kRelu) v = v < 0.0f ? 0.0f : v;  // NaN stays
            if (epilogue == kGelu) v = gelu(v);
            to[j] = epilogue == kAdd ? to[j] + v : v;
        }
    }
}

typedef void (*Tile)(const Linear&, const float*, int64_t, float*);

template <typename Number, int kRows, int kPanels, bool kAhead>
constexpr Tile tile_or_null() {
    if constexpr (kRows * kPanels <= kAccumulators) return tile<Number, kRows, kPanels, kAhead>;
    return nullptr;
}

// Tiles by rows - 1 and by log2 of the panels.
template <typename Number, bool kAhead, int... kRow>
static const Tile* tiles_of(int64_t rows, std::integer_sequence<int, kRow...>) {
    static const Tile table[sizeof...(kRow)][4] = {
        {tile_or_null<Number, kRow + 1, 1, kAhead>(), tile_or_null<Number, kRow + 1, 2, kAhead>(),
         tile_or_null<Number, kRow + 1, 4, kAhead>(), tile_or_null<Number, kRow + 1, 8, kAhead>()}...};
    return table[rows - 1];
}

template <bool kAhead>
static const Tile* tiles_of(int64_t kind, int64_t rows) {
    constexpr auto every = std::make_integer_sequence<int, kMaxRows>();
    if (kind == kBfloat16) return tiles_of<uint16_t, kAhead>(rows, every);
    if (kind == kInt8) return tiles_of<int8_t, kAhead>(rows, every);
    return tiles_of<float, kAhead>(rows, every);
}

// One thread's part of [rows, inputs] x -> [rows, outputs] out. stride: floats from one row of out to the next.
static void linear(const Linear& w, const float* x, int64_t rows, float* out, int64_t stride, Epilogue epilogue,
                   const Worker& worker) {
    if (rows == 0 || w.outputs == 0) return;
    const int64_t n_panels = (w.outputs + kLanes - 1) / kLanes;
    const int64_t n_blocks = (rows + kMaxRows - 1) / kMaxRows;
    const int64_t block = (rows + n_blocks - 1) / n_blocks;  // rows of a tile, the same in all but the last
    int level = 3;  // as many panels at a time as registers hold, if that leaves work for every thread
    const Tile* tiles = tiles_of<false>(w.kind, block);
    while (level > 0 && (!tiles[level] || (n_panels >> level) * n_blocks < worker.team)) --level;
    const int64_t n_groups = (n_panels + (1 << level) - 1) >> level, n_tasks = n_groups * n_blocks;
    const int64_t end = worker.end(n_tasks);
    alignas(64) float sums[kAccumulators * kLanes];
    for (int64_t task = worker.begin(n_tasks); task < end; ++task) {
        const int64_t row = task % n_blocks * block, n_rows = std::min(block, rows - row);
        if (n_rows <= 0) continue;
        const Tile* of_rows = row == 0 ? tiles_of<true>(w.kind, n_rows) : tiles_of<false>(w.kind, n_rows);  // later rows find them near
        int64_t panel = (task / n_blocks) << level;
        const int64_t last = std::min(n_panels, panel + (1 << level));
        for (int l = level; panel < last; --l)  // the last group may have fewer
            for (; last - panel >= 1 << l; panel += 1 << l) {
                of_rows[l](w, x + row * w.inputs, panel, sums);
                finish(w, sums, n_rows, panel, 1 << l, out + row * stride, stride, epilogue);
            }
    }
}
