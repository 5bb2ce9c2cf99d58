// Linear maps over weights that are laid out in panels of 16 outputs: [outputs / 16][inputs][16].
//
// Every output is one sum over the inputs in their order, whatever the number of rows and threads: a position gets the
// same bits whether it is computed alone or in a block.
#pragma once

#include <algorithm>

#include "team.h"
#include "vec.h"

enum Kind : int64_t { kFloat, kBfloat16, kInt8 };

struct Linear {
    const void* panels;
    const float* bias;    // [outputs] or null
    const float* scales;  // [outputs], what sums are multiplied by, or null
    int64_t inputs, outputs;
    int64_t kind;  // of the numbers in the panels; sums are float32 whatever it is
};

enum Epilogue : int64_t { kStore, kRelu, kGelu, kAdd };  // what happens to the sums: kAdd adds them to what is there

constexpr int kMaxRows = kTile < 12 ? kTile : 12;  // of a tile
constexpr int kMaxLevel = kTile < 4 ? 1 : kTile < 16 ? 2 : 3;  // a tile has 1 << level panels; so many are passed at a time
constexpr int kAsk = 64;  // inputs ahead of the multiplications

// What a tile asks for while it multiplies, so that it is in the second cache when it is its turn. Its own weights, if it
// is the first to read them; behind the end of a panel come those of the next group, whose first inputs nobody else would
// ask for in time. Or half of the panels behind the group's: two tiles share them, so that reading goes on all the time.
enum class Ask { kNothing, kOwn, kNext };
constexpr Ask kNothing = Ask::kNothing, kOwn = Ask::kOwn, kNext = Ask::kNext;

// half: where half of the next panels begins, for kNext.
template <typename Number, int kRows, int kPanels, Ask kAsks>
static void tile(const Linear& w, const float* x, int64_t first_panel, const char* half, float* sums) {
    constexpr int kVectors = kPanels * kParts;
    const Number* panel = static_cast<const Number*>(w.panels) + first_panel * w.inputs * kLanes;
    const int64_t inputs = w.inputs, next = inputs * kLanes;
    Vec acc[kRows][kVectors];
    UNROLLED for (int r = 0; r < kRows; ++r)
        UNROLLED for (int i = 0; i < kVectors; ++i) acc[r][i] = Vec{};
    int64_t k = 0;
    for (const int64_t stop : {kAsks == kOwn ? inputs - kAsk : 0, inputs}) {
        const int64_t ahead = kAsk * kLanes + (stop < inputs ? 0 : (kPanels - 1) * next);
        for (; k < stop; ++k) {
            const Number* at = panel + k * kLanes;
            if (kAsks == kOwn)
                UNROLLED for (int p = 0; p < kPanels; ++p) __builtin_prefetch(at + p * next + ahead, 0, 2);
            if (kAsks == kNext)
                UNROLLED for (int p = 0; p < kPanels; ++p)
                    __builtin_prefetch(half + (p * next + k * kLanes / 2) * static_cast<int64_t>(sizeof(Number)), 0, 2);
            const auto weights = [=](int i) { return load(at + i / kParts * next + i % kParts * kWidth); };
            const auto input = [=](int r) { return broadcast(x[r * inputs + k]); };
            if constexpr (kRows > kVectors) {  // the fewer stay in registers, the others come one by one
                Vec b[kVectors];
                UNROLLED for (int i = 0; i < kVectors; ++i) b[i] = weights(i);
                UNROLLED for (int r = 0; r < kRows; ++r) {
                    const Vec each = input(r);
                    UNROLLED for (int i = 0; i < kVectors; ++i) acc[r][i] = fma(each, b[i], acc[r][i]);
                }
            } else {
                Vec each[kRows];
                UNROLLED for (int r = 0; r < kRows; ++r) each[r] = input(r);
                UNROLLED for (int i = 0; i < kVectors; ++i) {
                    const Vec b = weights(i);
                    UNROLLED for (int r = 0; r < kRows; ++r) acc[r][i] = fma(each[r], b, acc[r][i]);
                }
            }
        }
    }
    UNROLLED for (int r = 0; r < kRows; ++r)
        UNROLLED for (int i = 0; i < kVectors; ++i) store(sums + (r * kVectors + i) * kWidth, acc[r][i]);
}

// x times the normal distribution's share below x.
static inline Vec gelu(Vec x) { return 0.5f * x * (1.0f + erf(x * 0.70710678f)); }

template <Epilogue kEpilogue>
static inline Vec finished(Vec v, const float* there) {
    if (kEpilogue == kRelu) return v < 0.0f ? Vec{} : v;  // NaN stays
    if (kEpilogue == kGelu) return gelu(v);
    return kEpilogue == kAdd ? load(there) + v : v;
}

// One panel of sums with bias and epilogue -> out; the last panel of a map may have fewer outputs than lanes.
template <Epilogue kEpilogue>
static void finish(const Linear& w, const float* sums, int64_t sums_stride, int64_t rows, int64_t panel, float* out,
                   int64_t stride) {
    const int64_t begin = panel * kLanes, width = std::min<int64_t>(kLanes, w.outputs - begin);
    static constexpr float kNoBias[kLanes] = {};
    float room[2][kLanes] = {}, there[kLanes] = {};
    const auto lanes = [=](const float* from, float* copy) {  // of this panel; those that are not there are zeros
        if (width == kLanes) return from + begin;
        return static_cast<const float*>(std::memcpy(copy, from + begin, width * sizeof(float)));
    };
    const float* bias = w.bias ? lanes(w.bias, room[0]) : kNoBias;
    const float* scales = w.scales ? lanes(w.scales, room[1]) : nullptr;
    for (int64_t r = 0; r < rows; ++r) {
        float* to = out + r * stride + begin;
        float* at = width == kLanes ? to : there;
        if (kEpilogue == kAdd && at == there) std::memcpy(there, to, width * sizeof(float));
        for (int j = 0; j < kLanes; j += kWidth) {
            Vec v = load(sums + r * sums_stride + j);
            if (scales) v = v * load(scales + j);
            store(at + j, finished<kEpilogue>(v + load(bias + j), at + j));
        }
        if (at == there) std::memcpy(to, there, width * sizeof(float));
    }
}

typedef void (*Finish)(const Linear&, const float*, int64_t, int64_t, int64_t, float*, int64_t);
static constexpr Finish kFinish[] = {finish<kStore>, finish<kRelu>, finish<kGelu>, finish<kAdd>};  // by epilogue

typedef void (*Tile)(const Linear&, const float*, int64_t, const char*, float*);

template <typename Number, int kRows, int kPanels, Ask kAsks>
constexpr Tile tile_or_null() {
    if constexpr (kRows * kPanels <= kTile) return tile<Number, kRows, kPanels, kAsks>;
    return nullptr;
}

// Tiles by rows - 1 and by log2 of the panels.
template <typename Number, Ask kAsks, int... kRow>
static const Tile* tiles_of(int64_t rows, std::integer_sequence<int, kRow...>) {
    static constexpr Tile table[sizeof...(kRow)][4] = {
        {tile_or_null<Number, kRow + 1, 1, kAsks>(), tile_or_null<Number, kRow + 1, 2, kAsks>(),
         tile_or_null<Number, kRow + 1, 4, kAsks>(), tile_or_null<Number, kRow + 1, 8, kAsks>()}...};
    return table[rows - 1];
}

template <Ask kAsks>
static const Tile* tiles_of(int64_t kind, int64_t rows) {
    constexpr auto every = std::make_integer_sequence<int, kMaxRows>();
    if (kind == kBfloat16) return tiles_of<uint16_t, kAsks>(rows, every);
    if (kind == kInt8) return tiles_of<int8_t, kAsks>(rows, every);
    return tiles_of<float, kAsks>(rows, every);
}

// Panels that are passed together, and the block of rows that they meet.
struct Group {
    int64_t panel, panels;
    bool is_cold;  // nobody has asked for its weights
    int64_t block, blocks;
};

// How many panels' weights stay in the second cache, with those that are asked for.
static int64_t fitting(const Linear& w) {
    constexpr int64_t kBytes = 1 << 17;
    return std::clamp<int64_t>(kBytes / (w.inputs * kLanes * 4), 1, 1 << kMaxLevel);
}

// A block of rows of x by a group of panels: as many panels at a time as registers hold.
static void multiply(const Linear& w, const float* x, int64_t rows, const Group& group, float* out, int64_t stride,
                     Epilogue epilogue) {
    alignas(64) float sums[kTile * kLanes];
    const bool spread = group.blocks == 2 || group.blocks == 3;  // one block reads all the time, many hardly
    const bool own = group.block == 0 && (group.is_cold || !spread);
    const Tile* tiles = own ? tiles_of<kOwn>(w.kind, rows)
                        : spread && group.block < 2 ? tiles_of<kNext>(w.kind, rows)
                                                    : tiles_of<kNothing>(w.kind, rows);
    const int64_t bytes = w.inputs * kLanes * (w.kind == kFloat ? 4 : w.kind == kBfloat16 ? 2 : 1);
    const int64_t last = group.panel + group.panels;
    int64_t panel = group.panel;
    for (int level = kMaxLevel; panel < last; --level)
        for (; tiles[level] && last - panel >= 1 << level; panel += 1 << level) {
            const char* next = static_cast<const char*>(w.panels) + (panel + group.panels) * bytes;
            tiles[level](w, x, panel, next + group.block * bytes / 2, sums);
            for (int64_t p = 0; p < 1 << level; ++p)
                kFinish[epilogue](w, sums + p * kLanes, kLanes << level, rows, panel + p, out, stride);
        }
}

// One thread's part of [rows, inputs] x -> [rows, outputs] out. stride: floats from one row of out to the next.
//
// Pieces are a panel by a block of rows, in the order of the panels. Panels of which a thread has every row are passed in
// groups: each block of rows, which stays in the first cache, meets the group's weights, which stay in the second.
static void linear(const Linear& w, const float* x, int64_t rows, float* out, int64_t stride, Epilogue epilogue,
                   const Worker& worker) {
    if (rows <= 0 || w.outputs == 0) return;
    const int64_t n_panels = (w.outputs + kLanes - 1) / kLanes;
    const int64_t n_blocks = (rows + kMaxRows - 1) / kMaxRows;
    const int64_t most = n_blocks == 1 ? 1 << kMaxLevel : fitting(w);
    const int64_t begin = worker.begin(n_panels * n_blocks), end = worker.end(n_panels * n_blocks);
    for (int64_t piece = begin; piece < end;) {
        const int64_t first = piece % n_blocks, whole = (end - piece) / n_blocks;
        const int64_t panels = first > 0 ? 1 : std::clamp<int64_t>(whole, 1, most);
        const int64_t last = std::min(n_blocks, first + end - piece);
        for (int64_t block = first; block < last; ++block) {
            const int64_t row = rows * block / n_blocks, n = rows * (block + 1) / n_blocks - row;
            const Group group{piece / n_blocks, panels, piece == begin, block, n_blocks};
            multiply(w, x + row * w.inputs, n, group, out + row * stride, stride, epilogue);
        }
        piece += (last - first) * panels;
    }
}
