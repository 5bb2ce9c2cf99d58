// Vectors of 16 floats in the compiler's own notation: one register with AVX-512, two with AVX2, four with SSE or NEON.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int kAccumulators = 24;  // vectors that a tile may keep in registers, beside those that it loads
#elif defined(__AVX__)
constexpr int kAccumulators = 6;
#else
constexpr int kAccumulators = 3;
#endif

constexpr int kLanes = 16;
typedef float Vec __attribute__((vector_size(64)));
typedef int32_t VecInt __attribute__((vector_size(64)));
constexpr VecInt kFirst = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

// Panels may hold bfloat16 (the upper half of a float) or int8 numbers.
static inline Vec load(const uint16_t* p) {
    uint16_t half __attribute__((vector_size(32)));
    std::memcpy(&half, p, sizeof half);
    const VecInt bits = __builtin_convertvector(half, VecInt) << 16;
    Vec v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

static inline Vec load(const int8_t* p) {
    Vec v;
#if defined(__AVX512F__)  // the compiler's own notation becomes sixteen moves
    const __m512 wide = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    std::memcpy(&v, &wide, sizeof v);
#elif defined(__AVX2__)
    __m256 wide[2];
    for (int i = 0; i < 2; ++i) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8 * i));
        wide[i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    }
    std::memcpy(&v, wide, sizeof v);
#else
    int8_t bytes __attribute__((vector_size(16)));
    std::memcpy(&bytes, p, sizeof bytes);
    v = __builtin_convertvector(__builtin_convertvector(bytes, VecInt), Vec);
#endif
    return v;
}

static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

static inline Vec broadcast(float x) { return Vec{} + x; }

// The sum of all lanes: lane i and i + 8, then + 4, + 2, + 1.
static inline float sum(Vec v) {
    float x[kLanes];
    store(x, v);
    for (int n = kLanes / 2; n > 0; n /= 2)
        for (int i = 0; i < n; ++i) x[i] += x[i + n];
    return x[0];
}

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, VecInt{__VA_ARGS__})
#endif

// One vector of the sums of 16, each in the order of `sum`: a butterfly, in which two vectors become one at each step.
static inline Vec sums(Vec* v) {
    for (int i = 0; i < 8; ++i)
        v[i] = SHUFFLE(v[i], v[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               SHUFFLE(v[i], v[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    for (int i = 0; i < 4; ++i)
        v[i] = SHUFFLE(v[i], v[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               SHUFFLE(v[i], v[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    for (int i = 0; i < 2; ++i)
        v[i] = SHUFFLE(v[i], v[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               SHUFFLE(v[i], v[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    return SHUFFLE(v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           SHUFFLE(v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// e^x for x <= 0, within 2 units in the last place; 0 below -87, NaN for NaN.
static inline Vec exp_nonpositive(Vec x) {
    const VecInt is_nan = x != x;
    const Vec nan = x;
    const Vec lowest = broadcast(-87.0f), magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds
    const VecInt tiny = x < lowest;
    x = tiny ? lowest : x;
    const Vec shifted = x * 1.44269504f + magic;
    const Vec n = shifted - magic;
    const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts
    Vec p = broadcast(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    VecInt bits, power;
    std::memcpy(&bits, &shifted, sizeof bits);
    std::memcpy(&power, &p, sizeof power);
    power += (bits - 0x4B400000) << 23;  // the magic number's own bits; times 2^n
    Vec y;
    std::memcpy(&y, &power, sizeof y);
    return is_nan ? nan : tiny ? Vec{} : y;
}
