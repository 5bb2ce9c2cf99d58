// A Transformer layer over many positions a row, in one team of threads.
#pragma once

#include <vector>

#include "attention.h"
#include "linear.h"

struct Norm {
    const float *weight, *bias;
    double eps;
};

struct Layer {
    int64_t channels, heads, pre_norm;
    int64_t activation;  // kRelu or kGelu
    Linear self_qkv, self_out, cross_q, cross_out, fc1, fc2;  // cross_q.panels is null in an encoder layer
    Norm self_norm, cross_norm, ffn_norm;
};

// Floats of scratch memory that a pass over so many positions needs.
static int64_t scratch_floats(const Layer* const* layers, int64_t n_layers, int64_t positions) {
    int64_t most = 0;
    for (int64_t i = 0; i < n_layers; ++i) {
        const Layer& w = *layers[i];
        most = std::max(most, 2 * w.channels + std::max(3 * w.channels, w.fc1.outputs));
    }
    return positions * most;
}

// Where a pass leaves keys and values of its own positions.
struct Cache {
    float* store;  // [rows, capacity, 2C], keys then values; null: they are seen by this pass alone
    int64_t capacity;
};

static void norm(const Norm& w, const float* x, float* y, int64_t channels) {
    Vec sums = {}, squares = {};
    int64_t c = 0;
    float total = 0.0f, square = 0.0f;
    for (; c + kWidth <= channels; c += kWidth) sums += load(x + c);
    for (; c < channels; ++c) total += x[c];
    const float mean = (sum(sums) + total) / channels;
    for (c = 0; c + kWidth <= channels; c += kWidth) {
        const Vec d = load(x + c) - mean;
        squares = fma(d, d, squares);
    }
    for (; c < channels; ++c) square = fma(x[c] - mean, x[c] - mean, square);
    const float scale = 1.0 / std::sqrt((sum(squares) + square) / channels + w.eps);
    for (c = 0; c + kWidth <= channels; c += kWidth)
        store(y + c, fma((load(x + c) - mean) * scale, load(w.weight + c), load(w.bias + c)));
    for (; c < channels; ++c) y[c] = fma((x[c] - mean) * scale, w.weight[c], w.bias[c]);
}

// Work of one pass through a layer, shared by a team: every thread calls the same methods in the same order.
class Pass {
  public:
    Pass(const Layer& layer, float* x, int64_t rows, int64_t width, float* scratch, const Paths* paths = nullptr)
        : w(layer), x(x), width(width), paths(paths), positions(rows * width), normed(scratch),
          heads_out(normed + positions * w.channels), wide(heads_out + positions * w.channels) {}

    // Every thread of the current team calls it once.
    void run(const Cache& cache, Keys self, const Keys* source, const Worker& worker) {
        const int64_t C = w.channels;
        const float* in = before(w.self_norm, worker);
        apply(w.self_qkv, in, wide, 3 * C, kStore, worker);
        if (cache.store) {
            keep(cache, self.lengths, worker);
        } else {
            self.keys = wide + C;
            self.values = wide + 2 * C;
            self.row_stride = 3 * C * width;
            self.head_stride = C / w.heads;
            self.stride = 3 * C;
        }
        attention(wide, 3 * C, self, paths, worker);
        apply(w.self_out, heads_out, x, C, kAdd, worker);
        after(w.self_norm, worker);
        if (source) {
            in = before(w.cross_norm, worker);
            apply(w.cross_q, in, wide, C, kStore, worker);
            attention(wide, C, *source, nullptr, worker);
            apply(w.cross_out, heads_out, x, C, kAdd, worker);
            after(w.cross_norm, worker);
        }
        in = before(w.ffn_norm, worker);
        apply(w.fc1, in, wide, w.fc1.outputs, static_cast<Epilogue>(w.activation), worker);
        apply(w.fc2, wide, x, C, kAdd, worker);
        after(w.ffn_norm, worker);
    }

  private:
    const Layer& w;
    float* x;  // [rows, width, C]
    const int64_t width;
    const Paths* paths;  // of self-attention, or null
    const int64_t positions;
    float *normed, *heads_out, *wide;  // [positions, C], the same, [positions, max(3C, F)]

    void normalize(const Norm& n, float* y, const Worker& worker) {
        for (int64_t p = worker.begin(positions), end = worker.end(positions); p < end; ++p)
            norm(n, x + p * w.channels, y + p * w.channels, w.channels);
        wait_for_team();
    }

    const float* before(const Norm& n, const Worker& worker) {
        if (!w.pre_norm) return x;
        normalize(n, normed, worker);
        return normed;
    }

    void after(const Norm& n, const Worker& worker) {
        if (!w.pre_norm) normalize(n, x, worker);
    }

    void apply(const Linear& map, const float* in, float* out, int64_t stride, Epilogue epilogue, const Worker& worker) {
        linear(map, in, positions, out, stride, epilogue, worker);
        wait_for_team();
    }

    void keep(const Cache& cache, const int64_t* lengths, const Worker& worker) {
        const int64_t C = w.channels;
        for (int64_t p = worker.begin(positions), end = worker.end(positions); p < end; ++p) {
            const int64_t row = p / width, where = lengths[row] + p % width;
            if (where < cache.capacity)
                std::memcpy(cache.store + (row * cache.capacity + where) * 2 * C, wide + p * 3 * C + C,
                            2 * C * sizeof(float));
        }
        wait_for_team();
    }

    Visible visible(const Keys& keys, const Paths* along, int64_t row, int64_t index) const {
        if (along) {
            const int64_t p = row * width + index;
            return {along->depths[p] + 1, along->slots + p * along->stride};
        }
        if (!keys.lengths) return {keys.extent, nullptr};
        return {std::min(keys.extent, keys.lengths[row] + (keys.ahead ? keys.ahead : index + 1)), nullptr};
    }

    void attention(const float* queries, int64_t stride, const Keys& keys, const Paths* along, const Worker& worker) {
        const int64_t C = w.channels, D = C / w.heads, n = positions * w.heads;
        const float scale = 1.0 / std::sqrt(static_cast<double>(D));
        thread_local std::vector<float> scores;
        const bool alike = !along && (!keys.lengths || keys.ahead);  // all queries of a row see the same positions
        const int64_t room = ((along ? along->stride : keys.extent) + kWidth) / kWidth * kWidth;
        scores.resize((alike ? std::min<int64_t>(kQueries, width) : 1) * room);
        for (int64_t i = worker.begin(n), end = worker.end(n), many; i < end; i += many) {
            const int64_t row = i / (w.heads * width), head = i / width % w.heads, index = i % width;
            const int64_t p = row * width + index;
            many = alike ? std::min({int64_t{kQueries}, width - index, end - i}) : 1;
            const Queries these{queries + p * stride + head * D, stride, many, heads_out + p * C + head * D, C,
                                scores.data(), room};
            attend(these, keys, visible(keys, along, row, index), row, head, D, scale);
        }
        wait_for_team();
    }
};
