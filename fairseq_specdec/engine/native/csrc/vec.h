// A vector of floats as wide as the registers, and what the rest of the code needs of it.
//
// Arithmetic and comparisons are the compiler's own notation, which is as good as intrinsics at the width of a register (a
// wider vector would be kept in memory). Sums of products are written with `fma`, and the compiler may not make others
// (-ffp-contract=off): the bits of a result are those of the source, whatever is unrolled or inlined.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// kWidth: floats of a register. kTile: panels of 16 sums that a tile may keep in registers, beside what it loads.
#if defined(__AVX512F__)
constexpr int kWidth = 16, kTile = 24;
#elif defined(__AVX2__)
constexpr int kWidth = 8, kTile = 6;
#elif defined(__aarch64__)
constexpr int kWidth = 4, kTile = 5;
#else
constexpr int kWidth = 4, kTile = 2;
#endif

constexpr int kLanes = 16;               // outputs of a panel; library.py lays weights out so
constexpr int kParts = kLanes / kWidth;  // vectors of a panel

typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef int32_t VecInt __attribute__((vector_size(4 * kWidth)));
using Every = std::make_integer_sequence<int, kWidth>;

// Lanes chosen from two vectors, a's first; GCC has the notation of clang since version 12.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, VecInt{__VA_ARGS__})
#endif

// Before a loop over registers: its counter becomes constants before GCC decides what lies in memory.
#define UNROLLED _Pragma("GCC unroll 32")

template <typename To, typename From>
static inline To bits_of(From v) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &v, sizeof to);
    return to;
}

static inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

template <int... kLane>
static inline Vec every(float x, std::integer_sequence<int, kLane...>) {
    return Vec{(static_cast<void>(kLane), x)...};
}

static inline Vec broadcast(float x) {
#if defined(__aarch64__)  // GCC makes a detour through the stack
    return vdupq_n_f32(x);
#else
    return every(x, Every());
#endif
}

template <int... kLane>
static inline VecInt first(std::integer_sequence<int, kLane...>) {
    return VecInt{kLane...};
}
static inline VecInt first() { return first(Every()); }  // 0, 1, 2, ...

// a * b + c, rounded once where the processor can.
static inline Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}

static inline float fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

// The greater one; b, which is a number, where a is none.
static inline Vec greater(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
    return _mm_max_ps(a, b);
#elif defined(__aarch64__)
    return vmaxnmq_f32(a, b);
#else
    return a > b ? a : b;
#endif
}

// Panels may hold bfloat16 (the upper half of a float) or int8 numbers.
static inline Vec load(const uint16_t* p) {
#if defined(__AVX512F__)
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#elif defined(__AVX2__)
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#elif defined(__aarch64__)
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
#elif defined(__SSE2__)
    const __m128i half = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), half));
#else
    uint16_t half __attribute__((vector_size(2 * kWidth)));
    std::memcpy(&half, p, sizeof half);
    return bits_of<Vec>(__builtin_convertvector(half, VecInt) << 16);
#endif
}

static inline Vec load(const int8_t* p) {
#if defined(__AVX512F__)
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#elif defined(__aarch64__)
    int32_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    const int16x8_t wide = vmovl_s8(vcreate_s8(static_cast<uint32_t>(bytes)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
#elif defined(__SSE2__)
    int32_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    const __m128i high = _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_cvtsi32_si128(bytes));
    return _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(_mm_setzero_si128(), high), 24));
#else
    int8_t bytes __attribute__((vector_size(kWidth)));
    std::memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, VecInt), Vec);
#endif
}

// One step of a butterfly: lanes i and i + kHalf are added; sums of a stand where that bit of i is 0, of b where it is 1.
template <int kHalf, int... kLane>
static inline Vec halves(Vec a, Vec b, std::integer_sequence<int, kLane...>) {
    return SHUFFLE(a, b, (kLane & kHalf ? kWidth + (kLane ^ kHalf) : kLane)...) +
           SHUFFLE(a, b, (kLane & kHalf ? kWidth + kLane : kLane | kHalf)...);
}

// One vector of the sums of kWidth, each in the order of `sum`. v is overwritten.
template <int kHalf = kWidth / 2>
static inline Vec sums(Vec* v) {
    UNROLLED for (int i = 0; i < kHalf; ++i) v[i] = halves<kHalf>(v[i], v[i + kHalf], Every());
    if constexpr (kHalf > 1) return sums<kHalf / 2>(v);
    return v[0];
}

// The sum of all lanes: lane i and i + kWidth / 2, then what is left in the same way.
template <int kHalf = kWidth / 2>
static inline float sum(Vec v) {
    v = halves<kHalf>(v, v, Every());
    if constexpr (kHalf > 1) return sum<kHalf / 2>(v);
    return v[0];
}

template <int kHalf, int... kLane>
static inline Vec swapped(Vec v, std::integer_sequence<int, kLane...>) {
    return SHUFFLE(v, v, (kLane ^ kHalf)...);
}

// The highest lane of numbers.
template <int kHalf = kWidth / 2>
static inline float highest_of(Vec v) {
    v = greater(swapped<kHalf>(v, Every()), v);
    if constexpr (kHalf > 1) return highest_of<kHalf / 2>(v);
    return v[0];
}

// Whether a lane of a comparison holds.
static inline bool any(VecInt v) {
    const Vec bits = bits_of<Vec>(v);
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask(_mm512_castps_si512(bits), _mm512_castps_si512(bits)) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps(bits) != 0;
#else
    int64_t words[kWidth / 2], some = 0;
    std::memcpy(words, &bits, sizeof words);
    for (const int64_t word : words) some |= word;
    return some != 0;
#endif
}

// e^x for x <= 0, within 1 unit in the last place; 0 below -87, NaN for NaN.
static inline Vec exp_nonpositive(Vec x) {
    const Vec lowest = broadcast(-87.0f), magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds
    const Vec clamped = greater(x, lowest);
    const Vec shifted = fma(clamped, broadcast(1.44269504f), magic);
    const Vec n = shifted - magic;
    const Vec r = fma(n, broadcast(2.12194440e-4f), fma(n, broadcast(-0.693359375f), clamped));  // ln 2 in two parts
    Vec p = broadcast(1.9875691500e-4f);
    p = fma(p, r, broadcast(1.3981999507e-3f));
    p = fma(p, r, broadcast(8.3334519073e-3f));
    p = fma(p, r, broadcast(4.1665795894e-2f));
    p = fma(p, r, broadcast(1.6666665459e-1f));
    p = fma(p, r, broadcast(5.0000001201e-1f));
    p = fma(p, r * r, r) + 1.0f;
    const VecInt power = (bits_of<VecInt>(shifted) - 0x4B400000) << 23;  // less the magic number's own bits: 2^n
    const Vec y = bits_of<Vec>(bits_of<VecInt>(p) + power);
    return x < lowest ? Vec{} : x == x ? y : x;
}

// The error function within 1 unit in the last place: a polynomial near 0, one minus the power of another beyond
// (coefficients by N. Juffa, published for free use under the 2-clause BSD licence).
static inline Vec erf(Vec x) {
    const Vec t = x < 0.0f ? -x : x, s = x * x;
    Vec far = fma(broadcast(-1.72853470e-5f), t, broadcast(3.83197126e-4f));
    far = fma(far, s, fma(broadcast(-3.88396438e-3f), t, broadcast(2.42546219e-2f)));
    far = fma(far, t, broadcast(-1.06777877e-1f));
    far = fma(far, t, broadcast(-6.34846687e-1f));
    far = fma(far, t, broadcast(-1.28717512e-1f));
    far = 1.0f - exp_nonpositive(fma(far, t, -t));
    Vec near = broadcast(-5.96761703e-4f);
    near = fma(near, s, broadcast(4.99119423e-3f));
    near = fma(near, s, broadcast(-2.67681349e-2f));
    near = fma(near, s, broadcast(1.12819925e-1f));
    near = fma(near, s, broadcast(-3.76125336e-1f));
    near = fma(near, s, broadcast(1.28379166e-1f));
    near = fma(near, x, x);
    return t > 0.927734375f ? (x < 0.0f ? -far : far) : near;
}
