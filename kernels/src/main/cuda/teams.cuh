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
    int each, more;   // chunks of every block, and how many blocks have one more: the first ones

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
        chunks = (unsigned)divided((int)(count - 1), (int)chunk) + 1;
        each = divided((int)chunks, splits);
        more = (int)chunks - each * splits;
    }

    // This block's chunks are numbered from 0.
    __device__ __forceinline__ int mine() const { return each + (split < more ? 1 : 0); }

    // The first row of this block's chunk k.
    __device__ __forceinline__ unsigned begin(int k) const {
        return ((unsigned)split + (unsigned)k * (unsigned)splits) * chunk;
    }

    // How many rows the first `parts` blocks have together. One has the chunk that is cut off.
    __device__ __forceinline__ unsigned of_first(int parts) const {
        const int shortened = more > 0 ? more - 1 : splits - 1;
        return (unsigned)(parts * each + (parts < more ? parts : more)) * chunk -
               (parts > shortened ? chunks * chunk - count : 0u);
    }
};

__device__ __forceinline__ int groups_of(int samples, int ghostBatch) {
    return divided(samples + ghostBatch - 1, ghostBatch);
}

template <int N>
__device__ __forceinline__ int slabs_of(int channels) {
    const int packs = (channels + N - 1) / N;
    const int slabs = (packs + PACKS_OF_SLAB - 1) / PACKS_OF_SLAB;
    const int width = divided(packs + slabs - 1, slabs), half = PACKS_OF_SLAB / 2;
    return width % half != 0 && packs % half == 0 ? packs / half : slabs;
}

// ---- What is found for each channel of a unit, from what each thread found of its own rows.

// A channel's numbers, two of them: the mean of `rows` numbers and their squared distances from it,
// or two sums.
struct Found {
    float rows, first, second;
};

// All threads of a block share the work: neighbouring ones have neighbouring channels of a slab, for
// what all blocks read at one time must be read by few, long loads.
struct Merger {
    int width;    // threads of a share: those of the channels, rounded up
    int channel;  // of the slab
    int share, shares;
    bool active;
    Found* found;  // a place for each thread of the block

    __device__ __forceinline__ Merger(int channels, Found (&ofBlock)[THREADS]) {
        found = ofBlock;
        width = 1;
        while (width < channels) width *= 2;
        shares = divided(THREADS, width);
        share = divided((int)threadIdx.x, width);
        channel = (int)threadIdx.x - share * width;
        active = channel < channels;
    }

    // Merges what f(i) gives for i < count; a few are under way at once. Threads whose share is 0
    // get the result. Between two calls there must be a barrier.
    //
    // Means and squares are merged about the mean of the first FEW means. It is off by no more than
    // their part of the squared distances tells, so at most as many times the rounding are lost as
    // there are parts. FEW = 0: plain sums.
    template <int FEW, class F>
    __device__ __forceinline__ Found merge(int count, F f) const {
        constexpr bool MOMENTS = FEW > 0;
        constexpr int AT_ONCE = 4;
        float pivot = 0.0f, few = 0.0f;
#pragma unroll
        for (int i = 0; i < FEW; i++) {
            const Found part = active && i < count ? f(i) : Found{};
            if (part.rows > 0.0f) {
                pivot += part.first;
                few += 1.0f;
            }
        }
        if (few > 1.0f) pivot /= few;
        Found all{};
#pragma unroll 1
        for (int begin = share; begin < count; begin += AT_ONCE * shares) {
            Found parts[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                // What is not there is the last, once more, and left out.
                const int i = begin + k * shares;
                parts[k] = active ? f(i < count ? i : count - 1) : Found{};
                if (i >= count) parts[k] = Found{};
            }
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                const Found& part = parts[k];
                all.rows += part.rows;
                if (!MOMENTS) {
                    all.first += part.first;
                    all.second += part.second;
                } else if (part.rows > 0.0f) {
                    const float distance = part.first - pivot;
                    all.first += part.rows * distance;
                    all.second += part.second + part.rows * distance * distance;
                }
            }
        }
        if (shares > 1) {
            found[threadIdx.x] = all;
            __syncthreads();
            if (share == 0) {
                for (int other = 1; other < shares; other++) {
                    const Found& part = found[other * width + channel];
                    all.rows += part.rows;
                    all.first += part.first;
                    all.second += part.second;
                }
            }
        }
        if (MOMENTS && all.rows > 0.0f) {
            const float distance = all.first / all.rows;
            const float squares = all.second - all.first * distance;
            all.first = pivot + distance;
            all.second = squares < 0.0f ? 0.0f : squares;
        }
        return all;
    }
};

// ---- Teams.

// The blocks (blockIdx.x, 0 ... gridDim.y - 1). Each leaves its numbers for a unit, and goes on when
// it has those of all: of what the members of a gang have left the one that is last makes one, and
// then every block merges what the gangs have left, in the same order and so with the same result.
// Small teams have gangs of one.
//
// Words of memory count who has come: the team's, gangs; a gang's, members. Units add up: whoever is
// early for the next one disturbs nobody who still waits for this one. What a gang left is not
// overwritten while a slow block reads it, for it takes turns with a second place, and nobody comes
// to the unit after the next before all have left their numbers for the next one. When all have seen
// the last unit the words go back to zero.
template <int N>
struct Team {
    static constexpr int CHANNELS = PACKS_OF_SLAB * N;  // of a slab, at most
    static constexpr int WORDS = 32;          // a line of the caches for each team's words
    static constexpr int MEMBERS_ALONE = 64;  // up to so many, gangs of one
    static constexpr int GANG = 16;           // members of a gang beyond
    static constexpr int OF_THREAD = 2 * N + 1;  // numbers that a thread leaves: odd, for the banks

    float* partials;  // of all teams
    unsigned* tickets;
    int members, size, gangs;

    __device__ __forceinline__ Team(float* ofAllTeams, unsigned* ofSlabsAndTeams) {
        partials = ofAllTeams;
        tickets = ofSlabsAndTeams;
        members = (int)gridDim.y;
        size = members <= MEMBERS_ALONE ? 1 : GANG;
        gangs = (members + size - 1) / size;
    }

    __device__ __forceinline__ int gang() const { return (int)blockIdx.y / size; }

    // The block that writes down what a unit's numbers are: none has fewer rows.
    __device__ __forceinline__ bool speaks() const { return (int)blockIdx.y == members - 1; }

    // The team's, behind the tickets of the slabs; those of the gangs follow.
    __device__ __forceinline__ unsigned* word(int channels) const {
        return tickets + slabs_of<N>(channels) + (long long)blockIdx.x * WORDS;
    }

    // (2, CHANNELS) that a member left, and a gang.
    __device__ __forceinline__ float* left_by(int member) const { return place(member); }

    __device__ __forceinline__ float* left_by_gang(int gang, int turn) const {
        return place(members + turn % 2 * gangs + gang);
    }

    __device__ __forceinline__ float* place(int which) const {
        return partials +
               ((long long)blockIdx.x * (members + 2 * gangs) + which) * (2 * CHANNELS);
    }

    __device__ __forceinline__ static void leave(float* place, const Found& found,
                                                 const Merger& merger) {
        if (!merger.active || merger.share != 0) return;
        place[merger.channel] = found.first;
        place[CHANNELS + merger.channel] = found.second;
    }

    // Merges what was left at `count` places, of which each has the rows of `each` members, the
    // first of them those of `member`.
    template <int FEW>
    __device__ __forceinline__ Found merge_left(const Merger& merger, const float* places,
                                                int count, int member, int each,
                                                const Rows& rows) const {
        const auto before = [&](int place) {
            const int first = member + place * each;
            return rows.of_first(first < members ? first : members);
        };
        return merger.merge<FEW>(count, [&](int i) {
            const float* place = places + i * (2 * CHANNELS) + merger.channel;
            Found part;
            part.first = read_written(place);
            part.second = read_written(place + CHANNELS);
            part.rows = (float)(before(i + 1) - before(i));
            return part;
        });
    }

    // What the whole team found for its unit number `turn`, for all threads of all its blocks:
    // found[0] and found[1], by channels of the slab. Each thread brings the numbers of its pack's
    // channels.
    template <bool MOMENTS>
    __device__ __forceinline__ void merge(float (&shared)[THREADS * OF_THREAD],
                                          Found (&parts)[THREADS],
                                          float (&found)[2][CHANNELS], float count,
                                          const float (&first)[N], const float (&second)[N],
                                          int turn, int channels, const Slab<N>& slab,
                                          const Rows& rows) const {
        float* const own = shared + threadIdx.x * OF_THREAD;
#pragma unroll
        for (int j = 0; j < N; j++) {
            own[j] = first[j];
            own[N + j] = second[j];
        }
        own[2 * N] = count;
        __syncthreads();
        // A block's mean is near that of all as it is.
        constexpr int ONE = MOMENTS ? 1 : 0;
        const Merger merger(slab.width * N, parts);
        const int pack = merger.channel / N, j = merger.channel % N;
        Found all = merger.merge<MOMENTS ? 4 : 0>(slab.rows, [&](int row) {
            const float* of = shared + (row * slab.width + pack) * OF_THREAD;
            return Found{of[2 * N], of[j], of[N + j]};
        });
        if (members > 1) {
            const int begin = gang() * size;
            leave(size == 1 ? left_by_gang(gang(), turn) : left_by((int)blockIdx.y), all,
                  merger);
            bool last = true;
            if (size > 1) {
                const int others = (members - begin < size ? members - begin : size) - 1;
                last = came_last(word(channels) + 1 + gang(),
                                 (unsigned)(turn * (others + 1) + others));
                if (last) {
                    all = merge_left<ONE>(merger, left_by(begin), others + 1, begin, 1, rows);
                    leave(left_by_gang(gang(), turn), all, merger);
                }
            }
            if (last) come(word(channels));
            wait_for(word(channels), (unsigned)(turn * gangs), (unsigned)gangs);
            all = merge_left<ONE>(merger, left_by_gang(0, turn), gangs, 0, size, rows);
        }
        if (merger.active && merger.share == 0) {
            found[0][merger.channel] = all.first;
            found[1][merger.channel] = all.second;
        }
        __syncthreads();
    }

    // What the block wrote is there for whoever sees that the word has grown.
    __device__ __forceinline__ static void come(unsigned* word) {
        __syncthreads();
        if (threadIdx.x == 0) count_up(word);
    }

    // The same; true for all threads if `before` have come before.
    __device__ __forceinline__ static bool came_last(unsigned* word, unsigned before) {
        __shared__ bool last;
        __syncthreads();
        if (threadIdx.x == 0) last = count_up(word) == before;
        __syncthreads();
        return last;
    }

    __device__ __forceinline__ static void wait_for(const unsigned* word, unsigned from,
                                                    unsigned steps) {
        if (threadIdx.x == 0) wait_until(word, from, steps);
        __syncthreads();
    }

    // After the last unit: the block that is the last to have seen everything resets the words.
    __device__ __forceinline__ void finish(int turns, int channels) const {
        if (members == 1 || threadIdx.x != 0 || turns == 0) return;
        const unsigned all = (unsigned)(turns * gangs);
        unsigned* const words = word(channels);
        if (atomicAdd(words, 1u) - all != (unsigned)members - 1u) return;
        words[0] = 0;
        if (size == 1) return;
        for (int i = 0; i < gangs; i++) words[1 + i] = 0;
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
        : Unit(number, divided(number, slabs_of<N>(channels)), ahead, samples, channels, plane,
               ghostBatch) {}

    __device__ __forceinline__ Unit(int number, int group, int ahead, int samples, int channels,
                                    int plane, int ghostBatch)
        : slab(channels, number - group * slabs_of<N>(channels), slabs_of<N>(channels),
               (int)blockIdx.y),
          rows(slab, ahead, group, samples, plane, ghostBatch, (int)gridDim.y),
          statistic((long long)group * channels) {}
};

// ---- What a block keeps of a unit in dynamic shared memory: its first chunks, AHEAD packs of a
// thread for each. A thread reads what it copied itself, and no other thread does.

template <class T>
__device__ __forceinline__ Fetched<T>* kept_pack(int k, int i) {
    return static_cast<Fetched<T>*>(dynamic_shared()) + (k * AHEAD + i) * THREADS + threadIdx.x;
}

// How many of a unit's chunks this block keeps, if it can keep `kept`.
__device__ __forceinline__ int kept_of(const Rows& rows, int kept) {
    return rows.mine() < kept ? rows.mine() : kept;
}

// Calls find(unit, held, turn) and then use(unit, held, f) for a team's units, one after the other.
// unit_of(number) gives a unit, keep(unit, k) begins to copy its chunk k to where it is kept: of the
// first unit before all else, of every other one when use() calls f(k) because it has read the chunk
// k that lies there. Gives the number of units.
template <class UNIT_OF, class KEEP, class FIND, class USE>
__device__ __forceinline__ int for_units(int units, int kept, UNIT_OF unit_of, KEEP keep, FIND find,
                                         USE use) {
    if (kept > 0 && (int)blockIdx.x < units) {
        const auto first = unit_of((int)blockIdx.x);
#pragma unroll 1
        for (int k = 0; k < kept_of(first.rows, kept); k++) keep(first, k);
    }
    int turn = 0;
#pragma unroll 1
    for (int unit = (int)blockIdx.x; unit < units; unit += (int)gridDim.x, turn++) {
        {
            const auto u = unit_of(unit);
            find(u, kept_of(u.rows, kept), turn);
        }
        // Once more from the number: kept in registers meanwhile it would cost others theirs.
        const auto u = unit_of(forgotten(unit));
        const int after = unit + (int)gridDim.x, held = kept_of(u.rows, kept);
        const bool goesOn = kept > 0 && after < units;
        const auto next = goesOn ? unit_of(after) : u;
        const int ahead = goesOn ? kept_of(next.rows, kept) : 0;
        use(u, held, [&](int k) {
            if (k < ahead) keep(next, k);
        });
#pragma unroll 1
        for (int k = held; k < ahead; k++) keep(next, k);
    }
    return turn;
}

// Number j of the chunks in the order in which they are read again: those that were not kept first,
// the last of them, of which the level 2 cache has most, before the others.
__device__ __forceinline__ int again(int j, int mine, int held) {
    return j < mine - held ? mine - 1 - j : j - (mine - held);
}
