// A Transformer layer over many positions a row, in one team of threads.
#pragma once

#include <omp.h>

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

// Where a pass leaves keys and values of its own positions.
struct Cache {
    float* store;  // [rows, capacity, 2C], keys then values; null: they are seen by this pass alone
    int64_t capacity;
};

static void norm(const Norm& w, const float* x, float* y, int64_t channels) {
    Vec sums = {}, squares = {};
    int64_t c = 0;
    float total = 0.0f, square = 0.0f;
    for (; c + kLanes <= channels; c += kLanes) sums += load(x + c);
    for (; c < channels; ++c) total += x[c];
    const float mean = (sum(sums) + total) / channels;
    for (c = 0; c + kLanes <= channels; c += kLanes) {
        const Vec d = load(x + c) - mean;
        squares += d * d;
    }
    for (; c < channels; ++c) square += (x[c] - mean) * (x[c] - mean);
    const float scale = 1.0 / std::sqrt((sum(squares) + square) / channels + w.eps);
    for (c = 0; c + kLanes <= channels; c += kLanes)
        store(y + c, (load(x + c) - mean) * scale * load(w.weight + c) + load(w.bias + c));
    for (; c < channels; ++c) y[c] = (x[c] - mean) * scale * w.weight[c] + w.bias[c];
}

// Work of one pass through a layer, shared by a team: every thread calls the same methods in the same order.
class Pass {
  public:
    Pass(const Layer& layer, float* x, int64_t rows, int64_t width, float* scratch, int64_t threads)
        : w(layer), x(x), rows(rows), width(width), positions(rows * width), normed(scratch),
          heads_out(normed + positions * w.channels), wide(heads_out + positions * w.channels), threads(threads) {}

    void run(const Cache& cache, Keys self, const Keys* source, int thread) {
        const int64_t C = w.channels;
        const float* in = before(w.self_norm, thread);
        apply(w.self_qkv, in, wide, 3 * C, kStore, thread);
        if (cache.store) {
            keep(cache, self.lengths, thread);
        } else {
            self.keys = wide + C;
            self.values = wide + 2 * C;
            self.row_stride = 3 * C * width;
            self.head_stride = C / w.heads;
            self.stride = 3 * C;
        }
        attention(wide, 3 * C, self, thread);
        apply(w.self_out, heads_out, x, C, kAdd, thread);
        after(w.self_norm, thread);
        if (source) {
            in = before(w.cross_norm, thread);
            apply(w.cross_q, in, wide, C, kStore, thread);
            attention(wide, C, *source, thread);
            apply(w.cross_out, heads_out, x, C, kAdd, thread);
            after(w.cross_norm, thread);
        }
        in = before(w.ffn_norm, thread);
        apply(w.fc1, in, wide, w.fc1.outputs, static_cast<Epilogue>(w.activation), thread);
        apply(w.fc2, wide, x, C, kAdd, thread);
        after(w.ffn_norm, thread);
    }

  private:
    const Layer& w;
    float* x;  // [rows, width, C]
    const int64_t rows, width, positions;
    float *normed, *heads_out, *wide;  // [positions, C], the same, [positions, max(3C, F)]
    const int64_t threads;

    int64_t begin(int64_t n, int thread) const { return n * thread / threads; }

    void wait() const {
        if (threads > 1) {
#pragma omp barrier
        }
    }

    void normalize(const Norm& n, float* y, int thread) {
        for (int64_t p = begin(positions, thread); p < begin(positions, thread + 1); ++p)
            norm(n, x + p * w.channels, y + p * w.channels, w.channels);
        wait();
    }

    const float* before(const Norm& n, int thread) {
        if (!w.pre_norm) return x;
        normalize(n, normed, thread);
        return normed;
    }

    void after(const Norm& n, int thread) {
        if (!w.pre_norm) normalize(n, x, thread);
    }

    void apply(const Linear& map, const float* in, float* out, int64_t stride, Epilogue epilogue, int thread) {
        linear(map, in, positions, out, stride, epilogue, thread, threads);
        wait();
    }

    void keep(const Cache& cache, const int64_t* lengths, int thread) {
        const int64_t C = w.channels;
        for (int64_t p = begin(positions, thread); p < begin(positions, thread + 1); ++p) {
            const int64_t row = p / width, where = lengths[row] + p % width;
            if (where < cache.capacity)
                std::memcpy(cache.store + (row * cache.capacity + where) * 2 * C, wide + p * 3 * C + C,
                            2 * C * sizeof(float));
        }
        wait();
    }

    void attention(const float* queries, int64_t stride, const Keys& keys, int thread) {
        const int64_t C = w.channels, D = C / w.heads, n = positions * w.heads;
        const float scale = 1.0 / std::sqrt(static_cast<double>(D));
        thread_local std::vector<float> scores;
        scores.resize(keys.extent + kLanes);
        for (int64_t i = begin(n, thread); i < begin(n, thread + 1); ++i) {
            const int64_t row = i / (w.heads * width), head = i / width % w.heads, index = i % width;
            const int64_t p = row * width + index;
            attend(queries + p * stride + head * D, keys, row, head, index, D, scale, scores.data(),
                   heads_out + p * C + head * D);
        }
        wait();
    }
};
