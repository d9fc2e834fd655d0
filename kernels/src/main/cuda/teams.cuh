// Teams of blocks that sum the rows of a group of samples, wait for each other's sums, and go over
// the rows again: how rows are shared out, and how the blocks meet.
#pragma once
#include "common.cuh"

// Which rows a block has: every so many chunks of its group. At any time the blocks of a group are
// at neighbouring chunks, so that what is read last is the end of the group, however many share it.
struct Rows {
    int split;        // which of the blocks that share the group
    int splits;       // and how many they are
    unsigned count;   // rows of the whole group: M
    long long first;  // the group's first row
    unsigned chunk;   // rows that a block has under way at once
    unsigned chunks;  // of the group; the last may be cut off

    // `ahead` rows of each thread are under way at once.
    template <int N>
    __device__ __forceinline__ Rows(const Slab<N>& slab, int ahead, int group, int samples,
                                    int plane, int ghostBatch, int blocks) {
        split = slab.part;
        splits = blocks;
        int firstSample = group * ghostBatch;
        int size = samples - firstSample < ghostBatch ? samples - firstSample : ghostBatch;
        count = (unsigned)size * (unsigned)plane;
        first = (long long)firstSample * plane;
        chunk = (unsigned)(ahead * slab.rows);
        chunks = (count + chunk - 1) / chunk;
    }

    // Calls f(first row) for the chunks of this block.
    template <class F>
    __device__ __forceinline__ void for_chunks(Order order, F f) const {
        const unsigned begin = (unsigned)split * chunk, step = (unsigned)splits * chunk;
        const int mine = chunks_of(split);
#pragma unroll 1
        for (int k = 0; k < mine; k++)
            f(begin + (unsigned)(order == FORWARDS ? k : mine - 1 - k) * step);
    }

    __device__ __forceinline__ int chunks_of(int part) const {
        return ((int)chunks - part + splits - 1) / splits;
    }

    // How many rows each of the blocks has.
    struct Counts {
        int chunk, each, more;   // the first `more` blocks have one chunk more than `each`
        int shortened, missing;  // and one block has the chunk that is cut off

        __device__ __forceinline__ explicit Counts(const Rows& rows) {
            chunk = (int)rows.chunk;
            each = (int)rows.chunks / rows.splits;
            more = (int)rows.chunks % rows.splits;
            shortened = ((int)rows.chunks - 1) % rows.splits;
            missing = (int)(rows.chunks * rows.chunk - rows.count);
        }

        __device__ __forceinline__ int of(int part) const {
            return (each + (part < more)) * chunk - (part == shortened ? missing : 0);
        }
    };
};

__device__ __forceinline__ int groups_of(int samples, int ghostBatch) {
    return (samples + ghostBatch - 1) / ghostBatch;
}

template <int N>
__device__ __forceinline__ int slabs_of(int channels) {
    return ((channels + N - 1) / N + PACKS_OF_SLAB - 1) / PACKS_OF_SLAB;
}

// ---- Teams.

// The blocks (blockIdx.x, 0 ... gridDim.y - 1). Their word of memory counts, for each unit, every
// block that has left its numbers, and one step more when the result is published. Units add up:
// whoever is early for the next one disturbs nobody who still looks for the end of this one, and
// the next one cannot end before all have come to it. What the blocks left is not overwritten
// before it was merged, because nobody goes on before the result is there. When all have seen the
// last result the word goes back to zero.
template <int N>
struct Team {
    static constexpr int CHANNELS = PACKS_OF_SLAB * N;  // of a slab, at most
    static constexpr int WORDS = 32;                    // a line of the caches for each team's word

    float* partials;  // of all teams
    unsigned* tickets;
    int members;

    __device__ __forceinline__ Team(float* ofAllTeams, unsigned* ofSlabsAndTeams) {
        partials = ofAllTeams;
        tickets = ofSlabsAndTeams;
        members = (int)gridDim.y;
    }

    // Behind the tickets of the slabs.
    __device__ __forceinline__ unsigned* word(int channels) const {
        return tickets + slabs_of<N>(channels) + (long long)blockIdx.x * WORDS;
    }

    // What the word has counted before a unit.
    __device__ __forceinline__ unsigned before(int unit) const {
        return ((unsigned)unit / gridDim.x) * ((unsigned)members + 1u);
    }

    // What member `of` leaves: (2, CHANNELS).
    __device__ __forceinline__ float* left_by(int of) const {
        return partials + ((long long)blockIdx.x * members + of) * 2 * CHANNELS;
    }

    // Two numbers for each channel of the slab, from row 0.
    __device__ __forceinline__ void leave(const float (&a)[N], const float (&b)[N],
                                          const Slab<N>& slab) const {
        if (slab.row != 0) return;
        float* partial = left_by((int)blockIdx.y) + (slab.pack - slab.first) * N;
        Floats<N> first, second;
#pragma unroll
        for (int j = 0; j < N; j++) {
            first.at[j] = a[j];
            second.at[j] = b[j];
        }
        store<N>(partial, first, N);
        store<N>(partial + CHANNELS, second, N);
    }

    // True for all threads of the block that came last: it merges and publishes.
    __device__ __forceinline__ bool arrive(int unit, int channels) const {
        __shared__ bool last;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0)
            last = atomicAdd(word(channels), 1u) - before(unit) == (unsigned)members - 1u;
        __syncthreads();
        __threadfence();
        return last;
    }

    // What the block that publishes wrote is there for all blocks of the team.
    __device__ __forceinline__ void exchange(bool publishes, int unit, int channels) const {
        if (members > 1 && publishes) __threadfence();
        if (members > 1 && !publishes && threadIdx.x == 0)
            wait_until(word(channels), before(unit), (unsigned)members + 1u);
        __syncthreads();
        if (members > 1 && publishes && threadIdx.x == 0) atomicAdd(word(channels), 1u);
    }

    // After the last unit: the block that is the last to have seen everything resets the word.
    __device__ __forceinline__ void finish(int units, int channels) const {
        if (members == 1 || threadIdx.x != 0 || (int)blockIdx.x >= units) return;
        // What the word says after the last unit, before the first block finishes.
        const unsigned teams = gridDim.x, left = (unsigned)units - 1u - blockIdx.x;
        const unsigned all = (left / teams + 1u) * ((unsigned)members + 1u);
        if (atomicAdd(word(channels), 1u) - all == (unsigned)members - 1u) *word(channels) = 0;
    }

    // Calls f(a, b, rows) with what the blocks left that had rows: for this thread's share of them.
    // A few are under way at once, or the loads would take longer one after the other than the rows
    // took.
    template <class F>
    __device__ __forceinline__ void for_members(const Slab<QUAD>& slab, const Rows& rows,
                                                F f) const {
        constexpr int AT_ONCE = 2;
        if (!slab.active) return;
        const Rows::Counts counts(rows);
        const float* own = left_by(0) + (slab.pack - slab.first) * QUAD;
#pragma unroll 1
        for (int begin = slab.row; begin < members; begin += AT_ONCE * slab.rows) {
            Floats<QUAD> a[AT_ONCE], b[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                // What is not there is the last, once more, and not looked at.
                const int from = begin + i * slab.rows;
                const float* place = own + (from < members ? from : members - 1) * 2 * CHANNELS;
                a[i] = fetch_written(place);
                b[i] = fetch_written(place + CHANNELS);
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                const int from = begin + i * slab.rows;
                if (from < members && counts.of(from) > 0) f(a[i], b[i], (float)counts.of(from));
            }
        }
    }
};

// A unit: its group, its slab and the rows of both that this block has.
template <int N>
struct Unit {
    Slab<N> slab;
    Rows rows;
    long long statistic;  // where the group's channels begin in a (G, C) matrix

    __device__ __forceinline__ Unit(int number, int ahead, int samples, int channels, int plane,
                                    int ghostBatch)
        : slab(channels, number % slabs_of<N>(channels), slabs_of<N>(channels), (int)blockIdx.y),
          rows(slab, ahead, number / slabs_of<N>(channels), samples, plane, ghostBatch,
               (int)gridDim.y),
          statistic((long long)(number / slabs_of<N>(channels)) * channels) {}
};
