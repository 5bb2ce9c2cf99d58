// A team of threads, by the OpenMP runtime that torch has loaded.
//
// Its entry points are called by their names, as GCC's own code for OpenMP calls them (LLVM's runtime has them, too): so
// every compiler makes a library that runs with the runtime that is there, needs no header and no option for it.
#pragma once

#include <atomic>
#include <cstdint>

extern "C" {
void GOMP_parallel(void (*part)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
int omp_get_thread_num();
int omp_get_num_threads();
}

// One thread of a team, and its share of n pieces of work.
struct Worker {
    const int64_t index, team;
    int64_t begin(int64_t n) const { return n * index / team; }
    int64_t end(int64_t n) const { return n * (index + 1) / team; }
};

// Until every thread of the team is here.
static inline void wait_for_team() { GOMP_barrier(); }

// Calls part(worker) in every thread of a team, which may come out smaller than asked for; returns the sum of the results.
template <typename Part>
static int64_t by_team(int64_t threads, const Part& part) {
    struct Shared {
        const Part& part;
        std::atomic<int64_t> total;
    } shared{part, {0}};
    const auto run = [](void* data) {
        Shared& own = *static_cast<Shared*>(data);
        own.total += own.part(Worker{omp_get_thread_num(), omp_get_num_threads()});
    };
    GOMP_parallel(run, &shared, static_cast<unsigned>(threads), 0);
    return shared.total;
}
