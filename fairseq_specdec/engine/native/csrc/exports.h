// What the library exports; included once by each instruction set's source.
#include "beam.h"
#include "decoder.h"
#include "draft.h"
#include "guide.h"
#include "mirror.h"
#include "ngram.h"
#include "round.h"
#include "steps.h"

extern "C" {

// Goes up with every change of a struct or of what a function takes; library.py has the same number.
int64_t specdec_interface() { return 15; }

int64_t specdec_scratch(const Layer* const* layers, int64_t n_layers, int64_t positions) {
    return scratch_floats(layers, n_layers, positions);
}

// Layers, one after the other; x [rows, width, C] becomes the output of the last. All of them look at the same self and
// source (null in an encoder) and write to the same cache, so those of a decoder come one by one.
void specdec_layers(const Layer* const* layers, int64_t n_layers, float* x, int64_t rows, int64_t width, float* scratch,
                    const Cache* cache, const Keys* self, const Keys* source, int64_t threads) {
    by_team(threads, [=](const Worker& worker) {
        for (int64_t i = 0; i < n_layers; ++i) Pass(*layers[i], x, rows, width, scratch).run(*cache, *self, source, worker);
        return 0;
    });
}

// tokens [rows, width] -> log-probabilities out [rows, width, outputs], in the order of the positions. self, cache and
// source: one for each layer; extent: positions of the cache that there are; paths: see there, or null where positions
// follow one another. x: [rows, width, C], scratch: as above.
// Returns how many positions have scores that are no numbers; -1, without a pass, if a token is none of the table's.
int64_t specdec_decode(const Decoder* w, const int64_t* tokens, int64_t rows, int64_t width, const int64_t* lengths,
                       const Cache* cache, const Keys* self, const Keys* source, int64_t extent,
                       const Paths* paths, float* x, float* scratch, float* out, double temperature, int64_t threads) {
    const int64_t n = rows * width, symbols = w->output.outputs;
    if (!can_embed(w->embedding, tokens, n)) return -1;
    return by_team(threads, [=](const Worker& worker) {
        int64_t bad = 0;
        run_stack(*w, tokens, rows, width, lengths, cache, self, source, extent, paths, x, scratch, worker);
        linear(w->output, x, n, out, symbols, kStore, worker);
        wait_for_team();
        for (int64_t p = worker.begin(n), end = worker.end(n); p < end; ++p)
            bad += !log_softmax(out + p * symbols, symbols, temperature);
        return bad;
    });
}

// Drafts up to ``most`` tokens a row behind what stands, one a pass, while a further one is expected to be right in more
// than ``least`` rows. cache, self, source, extent: as above, with room for ``most`` positions behind the longest row.
// Returns how many tokens a row the draft has; -1 if a token is none of the table's.
int64_t specdec_draft(const Decoder* w, const Drafts* drafts, int64_t most, double least, const Cache* cache,
                      const Keys* self, const Keys* source, int64_t extent, int64_t threads) {
    return Drafting(*w, *drafts, cache, self, source, extent, threads).run(most, least);
}

// Edits scores [sentences, width, symbols] by the rules and finds the best candidates of each sentence.
// Returns how many sentences have equal scores among them.
int64_t specdec_rank(const Rules* rules, const Beams* beams, float* scores, int64_t symbols, const Candidates* out,
                     int64_t threads) {
    std::vector<Best> best(beams->sentences * beams->width, Best(out->n + 1));
    return by_team(threads, [&](const Worker& worker) {
        int64_t n_tied = 0;
        rank(*rules, *beams, scores, symbols, best, worker);
        wait_for_team();
        for (int64_t i = worker.begin(beams->sentences), end = worker.end(beams->sentences); i < end; ++i) {
            merge(*rules, *beams, best, *out, i);
            n_tied += out->tied[i];
        }
        return n_tied;
    });
}

// Ends hypotheses and goes on with the best others. Returns how many sentences are finished.
int64_t specdec_advance(const Rules* rules, const Beams* beams, const Candidates* from, const Following* to) {
    int64_t n_finished = 0;
    for (int64_t i = 0; i < beams->sentences; ++i) {
        if (!to->finished[i]) advance(*rules, *beams, *from, *to, i);
        n_finished += to->finished[i];
    }
    return n_finished;
}

// Takes up to n greedy steps without drafts, each a pass of one position a row, until a row ends. A step that needs more
// than is done here (scores that are no numbers, equal ones, a token that is none of the table's) is not begun.
// cached: [rows], committed positions of the cache; extent: positions of it that there are; status: [n, 5, rows], see commit;
// x, scratch, scores: room for a pass. Returns how many steps were taken.
int64_t specdec_steps(const Decoder* w, int64_t rows, int64_t* cached, const Cache* cache, const Keys* self,
                      const Keys* source, int64_t extent, const Rules* rules, const State* state, float* totals, int64_t n,
                      int64_t* status, float* x, float* scratch, float* scores, double temperature, int64_t threads) {
    Step step(*rules, *state, totals, scores, w->output.outputs, rows);
    for (int64_t i = 0; i < n; ++i) {
        const int64_t* last = step.last_tokens();
        if (specdec_decode(w, last, rows, 1, cached, cache, self, source, extent, nullptr, x, scratch, scores,
                           temperature, threads) != 0)
            return i;
        if (by_team(threads, [&](const Worker& worker) { return step.choose(worker); }) != 0) return i;
        if (step.commit(cached, status + i * 5 * rows)) return i + 1;
    }
    return n;
}

// Speculation in the beam; what is made has to be freed.
Mirror* specdec_mirror_make(int64_t beam) { return new Mirror(beam); }

void specdec_mirror_free(Mirror* mirror) { delete mirror; }

// rules and guide outlive the sentence.
void specdec_mirror_begin(Mirror* mirror, const Rules* rules, int64_t first, const int64_t* guide, int64_t n_guide) {
    mirror->begin(*rules, first, guide, n_guide);
}

// is_again: all live beams, verified or not, and nothing ahead of them. Returns how many positions there are.
int64_t specdec_mirror_plan(Mirror* mirror, Mirror::Positions* positions, int64_t is_again) {
    return is_again ? mirror->live(*positions) : mirror->plan(*positions);
}

void specdec_mirror_learn(Mirror* mirror, float* scores, int64_t symbols, int64_t threads) {
    mirror->learn(scores, symbols, threads);
}

int64_t specdec_mirror_step(Mirror* mirror, const Candidates* out) { return mirror->step(*out); }

void specdec_mirror_follow(Mirror* mirror, const Candidates* from) { mirror->follow(*from); }

int64_t specdec_accept_exact(const Round* round, int64_t begin) { return accept_exact(*round, begin); }

// is_placed: the places say already where to go on.
void specdec_copy_guide(const Guide* guide, int64_t is_placed) { copy_guide(*guide, is_placed); }

// corpus: null where there is none. Returns how many places of it were looked at.
int64_t specdec_ngram_draft(const NgramTable* table, const NgramCorpus* corpus, const NgramRows* rows) {
    return draft_by_ngrams(*table, corpus, *rows);
}

void specdec_ngram_judge(int64_t rows, const int64_t* kind, const int64_t* counted, const int64_t* kept, int64_t kinds,
                         float* outcomes) {
    judge_drafts(rows, kind, counted, kept, kinds, outcomes);
}

void specdec_ngram_add(const NgramTable* table, int64_t eos, int64_t rows, int64_t stride, const int64_t* tokens,
                       const int64_t* lengths) {
    add_sentences(*table, eos, rows, stride, tokens, lengths);
}

int64_t specdec_trim(int64_t rows, const int64_t* drafted, const int64_t* lengths, const uint8_t* finished,
                     int64_t max_len, int64_t limit, int64_t* trimmed) {
    return trim(rows, drafted, lengths, finished, max_len, limit, trimmed);
}

void specdec_commit(const Round* round, const State* state, int64_t* status) { commit(*round, *state, status); }

// [rows, inputs] -> [rows, outputs].
void specdec_linear(const Linear* w, const float* x, int64_t rows, float* out, int64_t threads) {
    by_team(threads, [=](const Worker& worker) {
        linear(*w, x, rows, out, w->outputs, kStore, worker);
        return 0;
    });
}
}
