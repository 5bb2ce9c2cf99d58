// The kernels against plain loops in double precision, without Python: for instruction sets that this machine emulates.
// Prints what is wrong; exits with the number of failures.
#include <cstdio>
#include <random>
#include <vector>

#include "exports.h"

static std::mt19937 generator(1);
static int n_failures = 0;

static std::vector<float> normal(int64_t n, double scale = 1.0) {
    std::normal_distribution<float> draw(0.0f, scale);
    std::vector<float> x(n);
    for (float& v : x) v = draw(generator);
    return x;
}

static void check(bool holds, const char* what, int64_t a = 0, int64_t b = 0, int64_t c = 0, double found = 0.0) {
    if (holds) return;
    ++n_failures;
    std::printf("%s (%ld, %ld, %ld): %g\n", what, long(a), long(b), long(c), found);
}

static bool is_close(double a, double b) { return std::fabs(a - b) <= 1e-5 + 1e-5 * std::fabs(b); }

// Weights [outputs, inputs] in panels of 16 outputs, as numbers of a kind that hold them exactly.
template <typename Number>
static std::vector<Number> panels_of(const std::vector<float>& weight, int64_t outputs, int64_t inputs) {
    std::vector<Number> panels((outputs + kLanes - 1) / kLanes * kLanes * inputs);
    for (int64_t o = 0; o < outputs; ++o)
        for (int64_t i = 0; i < inputs; ++i) {
            const float v = weight[o * inputs + i];
            Number& to = panels[(o / kLanes * inputs + i) * kLanes + o % kLanes];
            if (sizeof(Number) == 2)
                to = static_cast<Number>(bits_of<uint32_t>(v) >> 16);
            else
                to = static_cast<Number>(v);
        }
    return panels;
}

static double finished(double v, double there, int64_t epilogue) {
    if (epilogue == kRelu) return v < 0 ? 0 : v;
    if (epilogue == kGelu) return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
    return epilogue == kAdd ? there + v : v;
}

template <typename Number>
static void linear_is_the_sum_of_products(Kind kind, int64_t outputs, int64_t inputs) {
    std::vector<float> weight = normal(outputs * inputs, 20.0), bias = normal(outputs), scales = normal(outputs);
    for (float& v : weight) v = std::fmin(std::fmax(std::nearbyint(v), -127.0f), 127.0f);  // exact in every kind
    const std::vector<Number> panels = panels_of<Number>(weight, outputs, inputs);
    for (float& v : scales) v /= 20.0f;
    for (const int64_t rows : {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 25})
        for (int64_t epilogue = kStore; epilogue <= kAdd; ++epilogue) {
            const Linear w{panels.data(), epilogue % 2 ? bias.data() : nullptr, scales.data(), inputs, outputs, kind};
            const std::vector<float> x = normal(rows * inputs), before = normal(rows * outputs);
            std::vector<float> out = before, alone = before;
            for (int64_t i = 0; i < 3; ++i)
                linear(w, x.data(), rows, out.data(), outputs, static_cast<Epilogue>(epilogue), Worker{i, 3});
            for (int64_t r = 0; r < rows; ++r)
                linear(w, x.data() + r * inputs, 1, alone.data() + r * outputs, outputs,
                       static_cast<Epilogue>(epilogue), Worker{0, 1});
            check(out == alone, "linear: other bits in a block than alone", outputs, inputs, rows);
            for (int64_t at = 0; at < rows * outputs; ++at) {
                double sum = 0;
                for (int64_t i = 0; i < inputs; ++i)
                    sum += double(x[at / outputs * inputs + i]) * weight[at % outputs * inputs + i];
                sum = sum * scales[at % outputs] + (w.bias ? bias[at % outputs] : 0.0f);
                check(is_close(out[at], finished(sum, before[at], epilogue)), "linear", outputs, inputs, rows, out[at]);
            }
        }
}

static void attention_is_the_weighted_mean(int64_t head_dim, int64_t n, bool is_path, int64_t n_queries) {
    const std::vector<float> queries = normal(n_queries * head_dim), keys = normal(n * head_dim);
    const std::vector<float> values = normal(n * head_dim);
    const int64_t room = (n + kWidth) / kWidth * kWidth;
    std::vector<float> mask(n), scores(n_queries * room), out(n_queries * head_dim), alone(head_dim);
    std::vector<int32_t> slots(n);
    for (int64_t i = 0; i < n; ++i) slots[i] = static_cast<int32_t>(is_path ? n - 1 - i : i);
    for (int64_t i = 1; i < n; i += 3) mask[i] = -INFINITY;
    const Keys at{keys.data(), values.data(), 0, 0, head_dim, n, nullptr, 0, is_path ? nullptr : mask.data()};
    const Visible seen{n, is_path ? slots.data() : nullptr};
    attend({queries.data(), head_dim, n_queries, out.data(), head_dim, scores.data(), room}, at, seen, 0, 0, head_dim,
           0.25f);
    for (int64_t q = 0; q < n_queries; ++q) {
        const float *query = queries.data() + q * head_dim, *found = out.data() + q * head_dim;
        attend({query, head_dim, 1, alone.data(), head_dim, scores.data(), room}, at, seen, 0, 0, head_dim, 0.25f);
        check(std::equal(alone.begin(), alone.end(), found), "attention: other bits in a block than alone", head_dim, n, q);
        std::vector<double> expected(head_dim);
        double total = 0;
        for (int64_t i = 0; i < n; ++i) {
            double score = 0;
            for (int64_t d = 0; d < head_dim; ++d) score += double(query[d]) * keys[i * head_dim + d];
            const double share = at.mask && mask[i] != 0 ? 0 : std::exp(0.25 * score);
            total += share;
            for (int64_t d = 0; d < head_dim; ++d) expected[d] += share * values[i * head_dim + d];
        }
        for (int64_t d = 0; d < head_dim; ++d)
            check(is_close(found[d], expected[d] / total), "attention", head_dim, n, d, found[d]);
    }
}

static void log_softmax_and_the_best(int64_t n, float temperature) {
    std::vector<float> x = normal(n, 5.0);
    if (n > 2) x[1] = -INFINITY, x[n - 1] = x[n / 2];
    const std::vector<float> before = x;
    double total = 0;
    for (const float v : before) total += std::exp(double(v) / temperature);
    check(log_softmax(x.data(), n, temperature), "log_softmax: no numbers", n);
    for (int64_t i = 0; i < n; ++i)
        check(before[i] == -INFINITY ? x[i] == -INFINITY : is_close(x[i], before[i] / temperature - std::log(total)),
              "log_softmax", n, i, 0, x[i]);
    check(highest_score(x.data(), n, 0.0f).index == std::max_element(x.begin(), x.end()) - x.begin(), "the first of the best", n);
    x[n / 2] = NAN;
    check(!log_softmax(x.data(), n, temperature) && std::isnan(x[0]), "log_softmax: NaN is hidden", n);
}

static void norm_has_mean_and_variance(int64_t n) {
    const std::vector<float> x = normal(n, 3.0), weight = normal(n), bias = normal(n);
    std::vector<float> y(n);
    norm({weight.data(), bias.data(), 1e-5}, x.data(), y.data(), n);
    double mean = 0, square = 0;
    for (const float v : x) mean += v / double(n);
    for (const float v : x) square += (v - mean) * (v - mean) / n;
    for (int64_t i = 0; i < n; ++i)
        check(is_close(y[i], (x[i] - mean) / std::sqrt(square + 1e-5) * weight[i] + bias[i]), "norm", n, i, 0, y[i]);
}

// The greatest distance, in units in the last place of the true value.
template <typename Ours, typename True>
static double distance(double from, double to, Ours ours, True truth) {
    double worst = 0;
    for (double at = from; at < to; at += 1e-3) {
        const float x = static_cast<float>(at), y = ours(broadcast(x))[kWidth - 1], expected = truth(double(x));
        const double unit = std::nextafter(std::fabs(expected), INFINITY) - std::fabs(expected);
        worst = std::fmax(worst, std::fabs(y - truth(double(x))) / unit);
    }
    return worst;
}

int main() {
    for (const int64_t outputs : {1, 16, 30, 150})
        for (const int64_t inputs : {1, 24, 70, 130}) {
            linear_is_the_sum_of_products<float>(kFloat, outputs, inputs);
            linear_is_the_sum_of_products<uint16_t>(kBfloat16, outputs, inputs);
            linear_is_the_sum_of_products<int8_t>(kInt8, outputs, inputs);
        }
    for (const int64_t head_dim : {1, 16, 18, 32, 48, 64, 150})
        for (const int64_t n : {1, 2, 7, 16, 37}) {
            for (const int64_t n_queries : {1, 2, 7, 40}) attention_is_the_weighted_mean(head_dim, n, false, n_queries);
            attention_is_the_weighted_mean(head_dim, n, true, 1);
        }
    for (const int64_t n : {1, 3, 16, 64, 65, 1000}) {
        log_softmax_and_the_best(n, 1.0f);
        log_softmax_and_the_best(n, 1.7f);
        norm_has_mean_and_variance(n);
    }
    const double of_exp = distance(-86.9, 0.0, exp_nonpositive, [](double x) { return std::exp(x); });
    const double of_erf = distance(-5.0, 5.0, [](Vec x) { return erf(x); }, [](double x) { return std::erf(x); });
    check(of_exp < 1.5, "exp: units in the last place", 0, 0, 0, of_exp);
    check(of_erf < 1.5, "erf: units in the last place", 0, 0, 0, of_erf);
    check(exp_nonpositive(broadcast(-INFINITY))[0] == 0.0f, "exp of -inf");
    check(std::isnan(exp_nonpositive(broadcast(NAN))[0]) && std::isnan(erf(broadcast(NAN))[0]), "NaN stays");
    check(erf(broadcast(INFINITY))[0] == 1.0f && erf(broadcast(-INFINITY))[0] == -1.0f, "erf of inf");
    std::printf("exp %.2f, erf %.2f units in the last place; %d failures\n", of_exp, of_erf, n_failures);
    return n_failures > 0;
}
