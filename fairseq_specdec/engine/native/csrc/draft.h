// Drafts by a decoder that writes one token a pass: the whole draft of all rows in one team of threads.
//
// What it means, step by step, is engine/draft_decoder.py, which does it with torch.
#pragma once

#include <memory>

#include "decoder.h"

constexpr int64_t kMargins = 8;  // classes of how far the best token is ahead of the second
constexpr double kMemory = 256;  // tokens of a class that are remembered

struct Drafts {
    int64_t rows, block;              // B, K
    const int64_t *tokens, *lengths;  // [B, capacity] and [B]: what stands
    int64_t capacity;
    int64_t *known;            // [B], positions of which the cache has keys and values
    int64_t *before;           // [B], the lengths when the last draft was made
    int64_t *draft, *margins;  // [B, K], that draft, and the class of each token's margin
    int64_t* drafted;          // [B], how many of its tokens count
    double *tried, *right;     // [kMargins], tokens of each class that were looked at, and those that were right
    int64_t made;              // tokens a row of the last draft
    int64_t pad, eos;
};

static int64_t margin_class(float margin) {
    int64_t n = 0;
    for (float edge = 0.125f; n < kMargins - 1 && margin >= edge; edge *= 2.0f) ++n;
    return n;
}

struct BestTwo {
    float best = -INFINITY, second = -INFINITY;
    int64_t token = 0;

    void add(float value, int64_t of) {
        if (!(value > second)) return;
        if (value > best) {
            second = best, best = value, token = of;
        } else {
            second = value;
        }
    }
};

class Drafting {
  public:
    Drafting(const Decoder& w, const Drafts& d, const Cache* cache, const Keys* self, const Keys* source,
             int64_t extent, int64_t threads)
        : w(w), d(d), cache(cache), self(self), source(source), extent(extent), threads(threads), chance(d.rows) {}

    int64_t run(int64_t most, double least) {
        settle();
        const int64_t first = begin_rows(), C = w.channels, symbols = w.output.outputs;
        if (!can_embed(w.embedding, fed.data(), d.rows * first)) return -1;
        const int64_t n = d.rows * first, n_scratch = scratch_floats(w.layers, w.n_layers, n);
        const std::unique_ptr<float[]> room(new float[n * C + n_scratch + d.rows * (C + symbols)]);
        float *x = room.get(), *scratch = x + n * C, *last = scratch + n_scratch, *logits = last + d.rows * C;
        best.resize(d.rows * threads);
        int64_t made = 0;
        bool goes_on = true;
        by_team(threads, [&](const Worker& worker) {
            for (int64_t k = 0; goes_on; ++k) {
                const int64_t width = k == 0 ? first : 1;
                run_stack(w, fed.data(), d.rows, width, begin.data(), cache, self, source, extent, nullptr, x, scratch,
                          worker);
                for (int64_t r = worker.begin(d.rows), end = worker.end(d.rows); r < end; ++r)
                    std::memcpy(last + r * C, x + (r * width + (k == 0 ? d.lengths[r] - 1 - begin[r] : 0)) * C,
                                C * sizeof(float));
                wait_for_team();
                linear(w.output, last, d.rows, logits, symbols, kStore, worker);
                wait_for_team();
                find_best(logits, symbols, worker);
                wait_for_team();
                if (worker.index == 0) {
                    const double expected = choose(k, worker.team);
                    made = k + 1;
                    goes_on = made < most && expected > least;
                }
                wait_for_team();
            }
            return 0;
        });
        std::copy(d.lengths, d.lengths + d.rows, d.before);
        return made;
    }

  private:
    const Decoder& w;
    const Drafts& d;
    const Cache* cache;
    const Keys *self, *source;
    const int64_t extent, threads;
    std::vector<int64_t> fed, begin;  // tokens of the next pass; the place of each row's first one
    std::vector<double> chance;       // that all of a row's draft so far is right; 0 where it has ended
    std::vector<BestTwo> best;        // [rows, threads]

    // Learns how the last draft fared, by what stands now, and how much of it the cache may keep.
    void settle() {
        for (int64_t r = 0; r < d.rows && d.made; ++r) {
            const int64_t before = d.before[r], end = std::min(d.made, d.lengths[r] - before);
            int64_t n = 0;
            for (bool is_right = true; n < end && is_right; n += is_right) {
                is_right = d.tokens[r * d.capacity + before + n] == d.draft[r * d.block + n];
                if (n >= d.drafted[r]) continue;
                const int64_t margin = d.margins[r * d.block + n];
                d.tried[margin] += 1.0;
                d.right[margin] += is_right;
            }
            d.known[r] = std::min(before + std::min(n, d.made - 1), d.lengths[r] - 1);
        }
        for (int64_t i = 0; i < kMargins; ++i)
            if (d.tried[i] > kMemory) d.tried[i] *= 0.5, d.right[i] *= 0.5;
    }

    // Feeds each row what the cache has not, up to its last token. Returns how many positions that are, the same in all.
    int64_t begin_rows() {
        int64_t width = 1;
        for (int64_t r = 0; r < d.rows; ++r) {
            const int64_t length = d.lengths[r];
            const bool has_ended = length > 1 && d.tokens[r * d.capacity + length - 1] == d.eos;
            chance[r] = has_ended ? 0.0 : 1.0;
            d.drafted[r] = 0;
            if (!has_ended) width = std::max(width, length - d.known[r]);
        }
        fed.resize(d.rows * width);
        begin.resize(d.rows);
        for (int64_t r = 0; r < d.rows; ++r) {
            begin[r] = std::max<int64_t>(d.lengths[r] - width, 0);  // a shorter row's further tokens are anything
            std::copy_n(d.tokens + r * d.capacity + begin[r], width, fed.data() + r * width);
        }
        return width;
    }

    // The best two of each row among this thread's symbols.
    void find_best(const float* logits, int64_t symbols, const Worker& worker) {
        for (int64_t r = 0; r < d.rows; ++r) {
            BestTwo found;
            for (int64_t i = worker.begin(symbols), end = worker.end(symbols); i < end; ++i)
                if (logits[r * symbols + i] > found.second && i != d.pad) found.add(logits[r * symbols + i], i);
            best[r * threads + worker.index] = found;
        }
    }

    // Takes token k of every row. Returns in how many rows the draft is expected to be right so far and to go on.
    double choose(int64_t k, int64_t team) {
        double expected = 0.0;
        for (int64_t r = 0; r < d.rows; ++r) {
            BestTwo found;
            for (int64_t i = 0; i < team; ++i) {
                const BestTwo& part = best[r * threads + i];
                found.add(part.best, part.token);
                found.add(part.second, part.token);  // of it only the value counts: it is not the best
            }
            const int64_t margin = margin_class(found.best - found.second);
            d.draft[r * d.block + k] = fed[r] = found.token;
            d.margins[r * d.block + k] = margin;
            begin[r] = d.lengths[r] + k;
            d.drafted[r] += chance[r] > 0.0;
            chance[r] *= found.token == d.eos ? 0.0 : d.right[margin] / d.tried[margin];
            expected += chance[r];
        }
        return expected;
    }
};
