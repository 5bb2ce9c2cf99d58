// Look-ups in a sorted text; drafters/corpus.py says what it means, and does it with torch.
#pragma once

#include <algorithm>
#include <cstdint>

// A text, and its places in the order of the tokens before them.
struct NgramCorpus {
    int64_t places, depth, eos, symbols;  // places: 1 .. places of the text; depth: tokens before each that count
    const int32_t *text, *order;          // [places + 1], [places]
    const int64_t* begins;                // [symbols + 1], where in the order the places behind a token begin
};

// Looks things up in a corpus. Counts the places that it looks at: reading them is what takes the time.
class CorpusSearch {
  public:
    explicit CorpusSearch(const NgramCorpus& corpus) : w(corpus) {}

    // Follows the places that most of the last tokens stand before. Returns how many of these do.
    int64_t roll_out(const int64_t* last, int64_t block, int64_t eos, int64_t* draft, int64_t* drafted) {
        *drafted = 0;
        const int64_t n = find(last, eos);
        if (n > 0) follow(block, eos, draft, drafted);
        return n;
    }

    int64_t looked_at = 0;

  private:
    static constexpr int64_t kSamples = 16;

    // Narrows the order down, token by token. last: ends in a negative one where it is shorter than the depth.
    int64_t find(const int64_t* last, int64_t eos) {
        for (int64_t n = 0; n < w.depth; ++n) {
            const int64_t token = last[n] == eos ? w.eos : last[n];
            if (token < 0 || token >= w.symbols) return n;
            const int64_t begin = n ? bound(n, token) : w.begins[token];
            const int64_t end = n ? bound(n, token + 1) : w.begins[token + 1];
            if (begin == end) return n;
            low = begin, high = end;
            if (token == w.eos) return n + 1;  // nothing stands before a sentence
        }
        return w.depth;
    }

    // The first place in low .. high whose token n before it is this one or a greater one.
    int64_t bound(int64_t n, int64_t token) {
        int64_t begin = low, end = high;
        while (begin < end) {
            const int64_t middle = (begin + end) / 2;
            ++looked_at;
            if (w.text[w.order[middle] - 1 - n] < token) begin = middle + 1;
            else end = middle;
        }
        return begin;
    }

    void follow(int64_t block, int64_t eos, int64_t* draft, int64_t* drafted) {
        const int64_t m = std::min(kSamples, high - low);
        int64_t places[kSamples], n = m;  // those that go on like the draft
        for (int64_t i = 0; i < m; ++i) places[i] = w.order[low + i * (high - low) / m];
        looked_at += m;
        while (*drafted < block) {
            int64_t token = -1, most = 0, left = 0;
            for (int64_t i = 0; i < n; ++i) {
                int64_t alike = 0;
                for (int64_t j = 0; j < n; ++j) alike += next(places[j], *drafted) == next(places[i], *drafted);
                if (alike > most) most = alike, token = next(places[i], *drafted);
            }
            if (5 * most < 2 * m) return;
            for (int64_t i = 0; i < n; ++i)
                if (next(places[i], *drafted) == token) places[left++] = places[i];
            n = left;
            draft[(*drafted)++] = token == w.eos ? eos : token;
            if (token == w.eos) return;
        }
    }

    int64_t next(int64_t place, int64_t k) const { return w.text[std::min(place + k, w.places)]; }

    const NgramCorpus& w;
    int64_t low = 0, high = 0;
};
