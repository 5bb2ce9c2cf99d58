// The prefixes that a beam search may visit, as a tree, with what may follow each: known where it was verified, else guessed.
#pragma once

#include <unordered_map>

#include "beam.h"
#include "guide.h"

struct Node {
    int64_t token;
    int32_t parent, depth;                   // the root has no parent (-1) and depth 0
    int32_t first_child = -1, sibling = -1;  // the next child of its parent
    int32_t slot = -1;                       // of the cache; -1: not verified
    int32_t list = -1;                       // where its list is; -1: not known
    int32_t place = 0;                       // where the guide goes on
};

struct List {
    const Scored* entries;  // best first
    int64_t n;
};

// The newest list behind each few last tokens. When it is full it forgets all of them.
class Suffixes {
  public:
    void put(uint64_t key, const List& list) {
        if (lists.size() >= kMost) lists.clear();
        lists[key].assign(list.entries, list.entries + list.n);
    }
    // Returns n = -1 where there is none.
    List find(uint64_t key) const {
        const auto found = lists.find(key);
        return found == lists.end() ? List{nullptr, -1}
                                    : List{found->second.data(), static_cast<int64_t>(found->second.size())};
    }

  private:
    static constexpr size_t kMost = 1 << 15;
    std::unordered_map<uint64_t, std::vector<Scored>> lists;
};

class Tree {
  public:
    explicit Tree(int64_t room) : room(room), guessed(room + 1) {}

    // Begins a sentence; what suffixes have taught stays. guide: [n_guide], outlives the sentence.
    void begin(int64_t first, const int64_t* text, int64_t n_text) {
        guide = text;
        n_guide = n_text;
        nodes.assign(1, Node{first, -1, 0});
        entries.clear();
        counts.clear();
    }

    Node& operator[](int32_t node) { return nodes[node]; }

    // The node of a token behind another one, made if there is none.
    int32_t child(int32_t parent, int64_t token) {
        for (int32_t i = nodes[parent].first_child; i >= 0; i = nodes[i].sibling)
            if (nodes[i].token == token) return i;
        const int32_t made = static_cast<int32_t>(nodes.size());
        nodes.push_back(Node{token, parent, nodes[parent].depth + 1});
        nodes[made].sibling = nodes[parent].first_child;
        nodes[parent].first_child = made;
        nodes[made].place = place(made);
        return made;
    }

    // Writes the tokens up to and with a node's own, depth + 1 of them.
    void row(int32_t node, int64_t* tokens) const {
        for (int32_t i = node; i >= 0; i = nodes[i].parent) tokens[nodes[i].depth] = nodes[i].token;
    }

    // Writes the slots before a node's own, depth of them.
    void path(int32_t node, int32_t* slots) const {
        for (int32_t i = nodes[node].parent; i >= 0; i = nodes[i].parent) slots[nodes[i].depth] = nodes[i].slot;
    }

    void learn(int32_t node, const Best& best) {
        nodes[node].list = static_cast<int32_t>(counts.size());
        entries.resize(entries.size() + room);
        counts.push_back(best.size());
        Scored* own = &entries[entries.size() - room];
        for (int64_t i = 0; i < best.size(); ++i) own[i] = best[i];
        for (int64_t n = 1; n <= std::min<int64_t>(kSuffix, nodes[node].depth + 1); ++n)
            suffixes.put(key(node, n), {own, best.size()});
    }

    // The list of a node that is known; valid until the next one is learned.
    List known(int32_t node) const { return {&entries[nodes[node].list * room], counts[nodes[node].list]}; }

    // The list of any node, a guess where it is not known: that of the newest one with the same last tokens, the token of
    // the guide before all others. Valid until the next call.
    List any(int32_t node) {
        if (nodes[node].list >= 0) return known(node);
        List found{nullptr, 0};
        for (int64_t n = std::min<int64_t>(kSuffix, nodes[node].depth + 1); n > 0; --n) {
            const List list = suffixes.find(key(node, n));
            if (list.n < 0) continue;
            found = list;
            break;
        }
        if (nodes[node].place >= n_guide) return found;
        const int64_t token = guide[nodes[node].place];
        int64_t n = 0;
        guessed[n++] = {kTrust, token};
        for (int64_t i = 0; i < found.n; ++i)
            if (found.entries[i].token != token)
                guessed[n++] = {std::min(found.entries[i].score, kElse), found.entries[i].token};
        return {guessed.data(), n};
    }

  private:
    static constexpr float kTrust = -0.10536052f, kElse = -2.3025851f;  // log 0.9 for the guide's token, log 0.1
    int64_t room;
    Suffixes suffixes;
    std::vector<Scored> guessed;
    const int64_t* guide = nullptr;
    int64_t n_guide = 0;
    std::vector<Node> nodes;
    std::vector<Scored> entries;  // [lists, room]
    std::vector<int64_t> counts;  // [lists]

    uint64_t key(int32_t node, int64_t n) const {
        uint64_t made = n * 0xD1B54A32D192ED03u;  // so large that no token makes it 0, which multiplying leaves as it is
        for (int32_t i = node; n-- > 0; i = nodes[i].parent) {
            made = (made ^ static_cast<uint64_t>(nodes[i].token)) * 0x9E3779B97F4A7C15u;
            made ^= made >> 29;
        }
        return made;
    }

    // Where the guide goes on behind a node, from where it did so behind its parent.
    int32_t place(int32_t node) const {
        const Node& own = nodes[node];
        int64_t before = nodes[own.parent].place, last[kSuffix];
        if (before < n_guide && guide[before] == own.token) return before + 1;
        const int64_t n = std::min<int64_t>(kSuffix, own.depth);
        int32_t i = node;
        for (int64_t k = 0; k < n; ++k, i = nodes[i].parent) last[kSuffix - 1 - k] = nodes[i].token;
        return std::min(next_place(guide, n_guide, last + kSuffix - 1, n, before), n_guide);
    }
};
