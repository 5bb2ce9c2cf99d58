// Speculation in the beam of one sentence. A pass verifies the live beams and, ahead of them, what the same search would
// visit by the lists that are guessed; then its steps are made on known lists as far as these decide them.
#pragma once

#include "tree.h"

class Mirror {
  public:
    explicit Mirror(int64_t beam) : beam(beam), tree(2 * beam + 1), found(2 * beam + 2) {}

    void begin(const Rules& of_sentence, int64_t first, const int64_t* guide, int64_t n_guide) {
        rules = of_sentence;
        tree.begin(first, guide, n_guide);
        search = {0, 0, {{0.0f, 0}}};
        used = 0;
    }

    // What a pass takes, at most `most` positions. Their slots are the next ones, in their order.
    struct Positions {
        int64_t* tokens;  // [most]
        int32_t* slots;   // [most, stride], each one's path
        int64_t stride;
        int64_t* depths;  // [most]
        int64_t most, n_live;  // how many of them are live beams
    };

    // Fills them with live beams that are not verified, then with what the guesses lead to; returns how many there are.
    int64_t plan(Positions& out) {
        planned.clear();
        Search ahead = search;
        for (bool is_live = true;; is_live = false) {
            Search following = {ahead.step + 1, ahead.n_ended, {}};
            find(ahead, [&](int32_t node) { return tree.any(node); });
            go_on(ahead, following);
            const bool is_open = is_live || static_cast<int64_t>(following.beams.size()) < beam;
            const float needed = is_open ? -INFINITY : following.beams.back().total;
            for (const Live& live : ahead.beams) {
                const Node& node = tree[live.node];
                // a path has no holes: what stands behind a beam that was left out is left out, too
                const bool follows = node.parent < 0 || tree[node.parent].slot >= 0;
                if (live.total > needed && node.slot < 0 && follows && size() < out.most) add(live.node, out);
            }
            if (is_live) out.n_live = size();
            const bool is_over = ahead.step >= rules.max_len || following.n_ended >= beam || following.beams.empty();
            if (is_over || size() >= out.most) return size();
            ahead = std::move(following);
        }
    }

    // Fills them with all live beams, verified or not, as the plain search has them in a step.
    int64_t live(Positions& out) {
        planned.clear();
        for (const Live& live : search.beams) add(live.node, out);
        return out.n_live = size();
    }

    // scores: [positions of the last plan, symbols], edited in place. One thread's share of finding the best.
    void find_lists(float* scores, int64_t symbols, std::vector<Best>& best, const Worker& worker) {
        std::vector<int64_t> row;
        for (int64_t p = worker.begin(size()), end = worker.end(size()); p < end; ++p) {
            const int64_t depth = tree[planned[p]].depth;
            if (rules.ngram > 0) {
                row.resize(depth + 1);
                tree.row(planned[p], row.data());
            }
            edit(rules, 0, depth, row.data(), scores + p * symbols, symbols);
            ::find_best(scores + p * symbols, symbols, 0.0f, best[p]);
        }
    }

    void learn(float* scores, int64_t symbols, int64_t threads) {
        std::vector<Best> best(size(), Best(2 * beam + 1));
        by_team(threads, [&](const Worker& worker) {
            find_lists(scores, symbols, best, worker);
            return 0;
        });
        for (int64_t p = 0; p < size(); ++p) tree.learn(planned[p], best[p]);
    }

    // Makes the next step if the lists that are known decide it. Returns kDecided, kUnknown, or kTied: equal scores leave
    // open which comes first, which is for fairseq's own call to say (`follow` goes on with what it says).
    int64_t step(const Candidates& out) {
        const float bound = find(search, [&](int32_t node) {
            return tree[node].list < 0 ? List{nullptr, -1} : tree.known(node);
        });
        int64_t n = 0, n_going = 0;
        bool tied = false;
        for (; n < std::min(n_found, 2 * beam) && n_going < beam; ++n) {
            if (found[n].score <= bound) return kUnknown;
            tied |= n + 1 < n_found && found[n + 1].score == found[n].score;
            n_going += found[n].token != rules.eos;
        }
        if (n_going < beam && bound > -INFINITY) return kUnknown;
        if (tied) return kTied;
        for (int64_t i = 0; i < out.n; ++i) {  // nothing that matters is behind the beams that go on
            out.scores[i] = i < n ? found[i].score : -INFINITY;
            out.tokens[i] = i < n ? found[i].token : rules.pad;
            out.beams[i] = i < n ? found[i].beam : 0;
        }
        follow(out);
        return kDecided;
    }

    // Goes on with these candidates.
    void follow(const Candidates& from) {
        Search following = {search.step + 1, search.n_ended, {}};
        for (int64_t i = 0; i < from.n && static_cast<int64_t>(following.beams.size()) < beam; ++i) {
            if (from.tokens[i] == rules.eos && from.scores[i] != -INFINITY) {
                following.n_ended += i < beam;
                continue;
            }
            following.beams.push_back({from.scores[i], tree.child(search.beams[from.beams[i]].node, from.tokens[i])});
        }
        search = std::move(following);
    }

    enum { kTied = -1, kUnknown = 0, kDecided = 1 };

  private:
    struct Live {
        float total;
        int32_t node;
    };
    struct Search {
        int64_t step, n_ended;
        std::vector<Live> beams;
    };
    struct Found {
        float score;
        int32_t beam;
        int64_t token;
    };

    const int64_t beam;
    Rules rules{};
    Tree tree;
    Search search{0, 0, {}};
    int64_t used = 0;              // slots
    std::vector<int32_t> planned;  // nodes of the last plan
    std::vector<Found> found;      // the best 2b + 1 continuations, of equal ones the first that came
    int64_t n_found = 0;

    int64_t size() const { return static_cast<int64_t>(planned.size()); }

    void add(int32_t node, const Positions& out) {
        const int64_t i = size(), depth = tree[node].depth;
        tree[node].slot = static_cast<int32_t>(used++);
        tree.path(node, out.slots + i * out.stride);
        out.slots[i * out.stride + depth] = tree[node].slot;
        out.tokens[i] = tree[node].token;
        out.depths[i] = depth;
        planned.push_back(node);
    }

    // Finds the best continuations of beams. Returns what none of those whose lists are not known (n = -1) can exceed:
    // no token makes a total better, but an unknown token that is rewarded, and rounding.
    template <typename ListOf>
    float find(const Search& of, const ListOf& list_of) {
        constexpr float kRounding = 1e-5f;
        float bound = -INFINITY;
        n_found = 0;
        for (size_t b = 0; b < of.beams.size(); ++b) {
            const Live& live = of.beams[b];
            if (live.total == -INFINITY) continue;
            const List list = list_of(live.node);
            if (list.n < 0) bound = std::max(bound, live.total);
            for (int64_t i = 0; i < list.n; ++i)
                offer({live.total + list.entries[i].score, static_cast<int32_t>(b), list.entries[i].token});
        }
        return bound + kRounding + std::max(0.0f, static_cast<float>(-rules.unk_penalty));
    }

    void offer(const Found& one) {
        const int64_t room = 2 * beam + 1;
        if (n_found == room && !(one.score > found[room - 1].score)) return;
        int64_t i = n_found;
        for (; i > 0 && found[i - 1].score < one.score; --i) found[i] = found[i - 1];
        found[i] = one;
        n_found = std::min(n_found + 1, room);
    }

    // What a step would come to by what was found.
    void go_on(const Search& from, Search& following) {
        for (int64_t i = 0; i < std::min(n_found, 2 * beam); ++i) {
            if (static_cast<int64_t>(following.beams.size()) == beam) return;
            if (found[i].token == rules.eos)
                following.n_ended += i < beam;
            else
                following.beams.push_back({found[i].score, tree.child(from.beams[found[i].beam].node, found[i].token)});
        }
    }
};
