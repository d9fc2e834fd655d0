// Stand-in of libcudnn.so.9: the graph functions (cudnnBackend*), as far as convolutions with bias
// and ReLU need them. The engines are made up, in the manner of what cuDNN 9.24 lists for a Hopper
// GPU: many settings of one engine first, then others; mode B in another order, with an engine of its
// own; bf16 graphs with bias or ReLU want their kernels compiled; no engine gives a float32 gradient of
// bf16 activations. A test double.
#include <stdio.h>
#include <string.h>

#include <iterator>
#include <map>
#include <set>
#include <vector>

#include "cudnn.h"

using namespace stand_in;
using namespace stand_in_cudnn;

namespace {

enum Type {
    POINTWISE = 0,
    CONVOLUTION = 1,
    ENGINE = 2,
    ENGINE_CONFIGURATION = 3,
    HEURISTICS = 4,
    PLAN = 5,
    KNOB_CHOICE = 7,
    OPERATION_FORWARD = 10,
    OPERATION_FILTER = 11,
    OPERATION_DATA = 12,
    OPERATION_POINTWISE = 13,
    GRAPH = 15,
    VARIANT_PACK = 16,
    TENSOR = 17,
};

// Types of attributes and the bytes of their elements.
constexpr int T_HANDLE = 0, T_DATA_TYPE = 1, T_BOOLEAN = 2, T_INT64 = 3, T_FLOAT = 4, T_DOUBLE = 5,
              T_VOID_PTR = 6, T_KNOB = 9, T_DESCRIPTOR = 15;

size_t bytes_of(int type) {
    switch (type) {
        case T_HANDLE:
        case T_INT64:
        case T_DOUBLE:
        case T_VOID_PTR:
        case T_DESCRIPTOR:
            return 8;
        case T_BOOLEAN:
            return 1;
        default:
            return 4;
    }
}

struct Attribute {
    int type;
    std::vector<unsigned char> bytes;
};

struct Descriptor {
    int type;
    bool finished = false;
    std::map<int, Attribute> attributes;
    // Of engines, configurations and plans.
    Descriptor* graph = nullptr;
    int place = -1;
};

std::set<Descriptor*> descriptors;

bool lives(const Descriptor* d) { return descriptors.count((Descriptor*)d) > 0; }

template <class T>
std::vector<T> values(const Descriptor* d, int attribute) {
    auto found = d->attributes.find(attribute);
    if (found == d->attributes.end()) return {};
    std::vector<T> all(found->second.bytes.size() / sizeof(T));
    memcpy(all.data(), found->second.bytes.data(), all.size() * sizeof(T));
    return all;
}

template <class T>
T value(const Descriptor* d, int attribute, T otherwise) {
    std::vector<T> all = values<T>(d, attribute);
    return all.empty() ? otherwise : all[0];
}

Descriptor* part(const Descriptor* d, int attribute) {
    Descriptor* found = value<Descriptor*>(d, attribute, nullptr);
    return found != nullptr && lives(found) && found->finished ? found : nullptr;
}

// ---- Tensors and operations, read from their descriptors.

struct TensorView {
    long long id = 0;
    int type = -1;
    bool between = false;  // virtual: exists only inside the graph
    long long n = 0, c = 0, h = 0, w = 0;
    bool channelsLast = false;

    size_t elements() const { return (size_t)(n * c * h * w); }
    size_t bytes() const { return elements() * (type == DATA_BFLOAT16 ? 2 : 4); }
    bool same_extents(const TensorView& o) const {
        return n == o.n && c == o.c && h == o.h && w == o.w;
    }
};

bool read(const Descriptor* d, TensorView* t) {
    if (d == nullptr || d->type != TENSOR) return false;
    auto extents = values<long long>(d, 902), strides = values<long long>(d, 903);
    if (extents.size() != 4 || strides.size() != 4) return false;
    t->id = value<long long>(d, 906, 0);
    t->type = value<int>(d, 901, -1);
    t->between = value<unsigned char>(d, 907, 0) != 0;
    t->n = extents[0];
    t->c = extents[1];
    t->h = extents[2];
    t->w = extents[3];
    t->channelsLast = strides[1] == 1 && strides[3] == t->c && strides[2] == t->w * t->c &&
                      strides[0] == t->h * t->w * t->c;
    return true;
}

// The whole computation: a convolution, perhaps with bias and ReLU behind it.
struct Computation {
    Direction direction;
    ConvolutionShape shape;
    TensorView first, second, result, bias;
    bool hasBias = false, hasRelu = false;
    float beta = 0;

    bool bf16() const { return first.type == DATA_BFLOAT16; }
    // As many bytes as x and y have together.
    long long activations() const {
        return (long long)(shape.x_elements() + shape.y_elements()) * (bf16() ? 2 : 4);
    }
};

int refuse(const char* why) { return wrong(UNSUPPORTED, "operation graph: %s", why); }

int understand(const Descriptor* graph, Computation* c) {
    auto operations = values<Descriptor*>(graph, 801);
    if (operations.empty() || !lives(operations[0]))
        return wrong(BAD_PARAM, "operation graph: no operations");
    const Descriptor* first = operations[0];
    // Attributes of x (or dy), w (or dy), the result, the window, alpha and beta.
    int at[6];
    switch (first->type) {
        case OPERATION_FORWARD: {
            int numbers[] = {704, 703, 705, 702, 700, 701};
            memcpy(at, numbers, sizeof at);
            c->direction = Direction::FORWARD;
            break;
        }
        case OPERATION_DATA: {
            int numbers[] = {711, 709, 710, 708, 706, 707};
            memcpy(at, numbers, sizeof at);
            c->direction = Direction::INPUT_GRADIENT;
            break;
        }
        case OPERATION_FILTER: {
            int numbers[] = {716, 717, 715, 714, 712, 713};
            memcpy(at, numbers, sizeof at);
            c->direction = Direction::WEIGHT_GRADIENT;
            break;
        }
        default:
            return refuse("the first operation is no convolution");
    }
    const Descriptor* window = part(first, at[3]);
    if (!read(part(first, at[0]), &c->first) || !read(part(first, at[1]), &c->second) ||
        !read(part(first, at[2]), &c->result) || window == nullptr)
        return wrong(BAD_PARAM, "operation graph: a tensor or the window is missing");
    c->beta = value<float>(first, at[5], 0);
    if (value<float>(first, at[4], 1) != 1 || (c->beta != 0 && c->beta != 1))
        return refuse("alpha other than 1 and beta other than 0 and 1 have no stand-in");
    if (c->beta != 0 && c->result.between)
        return refuse("adding to what is virtual has no stand-in");
    auto pads = values<long long>(window, 105), after = values<long long>(window, 104);
    auto strides = values<long long>(window, 103), dilations = values<long long>(window, 102);
    if (pads.size() != 2 || after.size() != 2 || strides.size() != 2 || dilations.size() != 2)
        return wrong(BAD_PARAM, "operation graph: the window needs two dimensions");
    if (pads != after) return refuse("padding that differs between the sides has no stand-in");
    const TensorView& x = c->direction == Direction::INPUT_GRADIENT ? c->result : c->first;
    const TensorView& w = c->direction == Direction::WEIGHT_GRADIENT ? c->result : c->second;
    const TensorView& y = c->direction == Direction::FORWARD          ? c->result
                          : c->direction == Direction::INPUT_GRADIENT ? c->first
                                                                      : c->second;
    if (x.n != y.n || w.n != y.c || x.c != w.c)
        return wrong(BAD_PARAM, "operation graph: samples or channels do not fit");
    long long p = (x.h + 2 * pads[0] - ((w.h - 1) * dilations[0] + 1)) / strides[0] + 1;
    long long q = (x.w + 2 * pads[1] - ((w.w - 1) * dilations[1] + 1)) / strides[1] + 1;
    if (y.h != p || y.w != q) return wrong(BAD_PARAM, "operation graph: y's extents do not fit");
    c->shape = {(int)x.n,        (int)x.c,          (int)x.h,          (int)x.w,
                (int)w.n,        (int)y.h,          (int)y.w,          (int)w.h,
                (int)w.w,        (int)pads[0],      (int)pads[1],      (int)strides[0],
                (int)strides[1], (int)dilations[0], (int)dilations[1], 1};
    if (c->first.type != c->second.type) return refuse("operands of two types");
    for (size_t i = 1; i < operations.size(); i++) {
        const Descriptor* operation = operations[i];
        if (!lives(operation) || operation->type != OPERATION_POINTWISE)
            return refuse("only pointwise operations may follow");
        const Descriptor* what = part(operation, 750);
        TensorView from, to;
        if (what == nullptr || !read(part(operation, 751), &from) ||
            !read(part(operation, 753), &to))
            return wrong(BAD_PARAM, "operation graph: a pointwise operation is not complete");
        if (from.id != c->result.id || !from.between || !from.same_extents(to))
            return wrong(BAD_PARAM, "operation graph: a pointwise operation does not continue it");
        int mode = value<int>(what, 0, -1);
        if (mode == 0) {
            if (c->hasBias || c->hasRelu || !read(part(operation, 752), &c->bias) ||
                c->bias.n != 1 || c->bias.h != 1 || c->bias.w != 1 || c->bias.c != to.c)
                return refuse("an addition other than that of a bias has no stand-in");
            c->hasBias = true;
        } else if (mode == 100) {
            c->hasRelu = true;
        } else {
            return refuse("only addition and ReLU have a stand-in");
        }
        c->result = to;
    }
    if (c->result.between) return wrong(BAD_PARAM, "operation graph: the result is virtual");
    for (const TensorView* t : {&c->first, &c->second, &c->result})
        if (!t->channelsLast || (t->type != DATA_FLOAT && t->type != DATA_BFLOAT16))
            return refuse("only NHWC, float32 and bf16 have a stand-in");
    return OK;
}

// An entry of the heuristics' list.
struct Entry {
    long long engine;
    bool tensorCores, converts;
    enum { NOTHING, WEIGHT, ALL_TENSORS, TOO_MUCH } workspace;
    bool atomics, compiled;
    double speed;  // multiplications and additions in a microsecond
};

constexpr Entry LISTED[] = {
    {62, true, false, Entry::NOTHING, false, false, 4e7},
    {62, true, false, Entry::WEIGHT, true, false, 5e7},
    {62, true, true, Entry::NOTHING, false, false, 9e7},
    {62, true, false, Entry::NOTHING, false, false, 3e7},
    {62, true, false, Entry::NOTHING, false, false, 3e7},
    {62, true, false, Entry::NOTHING, false, false, 3e7},
    {62, true, false, Entry::NOTHING, false, false, 3e7},
    {45, true, false, Entry::NOTHING, false, false, 6e7},
    {22, true, false, Entry::TOO_MUCH, false, false, 9e7},
    {62, true, false, Entry::NOTHING, false, false, 3e7},
    {2, false, false, Entry::ALL_TENSORS, false, false, 1e7},
    {71, true, false, Entry::NOTHING, false, true, 4e7},
    {33, true, false, Entry::NOTHING, false, false, 2e7},  // in mode B only
};
// What they offer in their fallback mode: an engine without tensor cores, and one to be compiled.
constexpr Entry FALLBACKS[] = {
    {1, false, false, Entry::NOTHING, false, false, 1e7},
    {70, true, false, Entry::NOTHING, false, true, 4e7},
};
constexpr int MODE_B = 1, FALLBACK_MODE = 2, FIRST_FALLBACK = 100;

const Entry& entry(int place) {
    return place < FIRST_FALLBACK ? LISTED[place] : FALLBACKS[place - FIRST_FALLBACK];
}

// The knobs of an entry: engine 62 has two, of which the first tells its entries apart.
std::map<int, long long> knobs_of(int place) {
    if (entry(place).engine != 62) return {};
    int setting = 0;
    for (int i = 0; i < place; i++) setting += LISTED[i].engine == 62;
    return {{2, setting}, {13, 1}};
}

// The place of an engine with these knobs, or of any of its entries without; -1 if there is none.
int place_of(long long engine, const std::map<int, long long>* knobs) {
    for (int place = 0; place < FIRST_FALLBACK + (int)std::size(FALLBACKS); place++) {
        if (place == (int)std::size(LISTED)) place = FIRST_FALLBACK;
        if (entry(place).engine == engine && (knobs == nullptr || knobs_of(place) == *knobs))
            return place;
    }
    return -1;
}

bool compiled(const Entry& e, const Computation& c) {
    return e.compiled || (c.bf16() && (c.hasBias || c.hasRelu));
}

// The places that a mode offers.
std::vector<int> offered(int mode, const Computation& c) {
    bool fallback = mode == FALLBACK_MODE;
    bool widens = c.bf16() && c.result.type == DATA_FLOAT;
    std::vector<int> places;
    int count = (int)(fallback ? std::size(FALLBACKS) : std::size(LISTED) - (mode != MODE_B));
    for (int i = 0; i < count; i++) {
        int place = fallback ? FIRST_FALLBACK + i : mode == MODE_B ? count - 1 - i : i;
        if (!widens || (fallback && entry(place).compiled)) places.push_back(place);
    }
    return places;
}

// Atomics are for gradients only, as in the classic algorithms.
bool adds_with_atomics(int place, Direction direction) {
    return entry(place).atomics && direction != Direction::FORWARD;
}

std::vector<int> notes_of(int place, Direction direction) {
    std::vector<int> notes;
    if (entry(place).tensorCores) notes.push_back(0);
    if (entry(place).converts) notes.push_back(1);  // its inputs, to a narrower type
    if (adds_with_atomics(place, direction)) notes.push_back(4);  // not deterministic
    return notes;
}

long long workspace_of(int place, const Computation& c) {
    switch (entry(place).workspace) {
        case Entry::WEIGHT:
            return (long long)c.shape.w_elements() * 4 + 20;
        case Entry::ALL_TENSORS:
            return c.activations() + 16;
        case Entry::TOO_MUCH:
            return c.activations() * 4 + (64LL << 20);
        default:
            return 0;
    }
}

// The place of an engine that is wrong, as told by a test, and how.
int wrongPlace = -1;
enum { READS_THE_RESULT, READS_THE_WORKSPACE, MISCOUNTS } wrongHow = MISCOUNTS;

int graph_call(const char* name, unsigned traits, Descriptor* d, const std::function<int()>& body) {
    return cudnn_call(name, traits, [&]() -> int {
        return lives(d) ? body() : wrong(BAD_PARAM, "%s: no descriptor", name);
    });
}

int require(const Descriptor* d, std::initializer_list<int> attributes) {
    for (int attribute : attributes)
        if (!d->attributes.count(attribute))
            return wrong(BAD_PARAM, "cudnnBackendFinalize: type %d lacks attribute %d", d->type,
                         attribute);
    return OK;
}

int finish(Descriptor* d) {
    for (auto& entry : d->attributes)
        if (entry.second.type == T_DESCRIPTOR)
            for (Descriptor* other : values<Descriptor*>(d, entry.first))
                if (!lives(other) || !other->finished)
                    return wrong(BAD_PARAM, "cudnnBackendFinalize: attribute %d is not finished",
                                 entry.first);
    switch (d->type) {
        case TENSOR: {
            int status = require(d, {900, 901, 902, 903, 906});
            long long alignment = value<long long>(d, 900, 0);
            if (status == OK && (alignment < 1 || alignment % 4 != 0))
                return wrong(BAD_PARAM, "a tensor's alignment of %lld bytes", alignment);
            return status;
        }
        case CONVOLUTION:
            return require(d, {100, 101, 102, 103, 104, 105, 106});
        case POINTWISE:
            return require(d, {0, 1});
        case OPERATION_FORWARD:
            return require(d, {702, 703, 704, 705});
        case OPERATION_DATA:
            return require(d, {708, 709, 710, 711});
        case OPERATION_FILTER:
            return require(d, {714, 715, 716, 717});
        case OPERATION_POINTWISE:
            return require(d, {750, 751, 753});
        case GRAPH: {
            int status = require(d, {800, 801});
            if (status != OK) return status;
            if (!is_handle(value<void*>(d, 800, nullptr)))
                return wrong(BAD_PARAM, "operation graph: no handle");
            Computation computation;
            return understand(d, &computation);
        }
        case HEURISTICS: {
            int status = require(d, {200, 201});
            d->graph = part(d, 201);
            return status;
        }
        case ENGINE: {
            int status = require(d, {1300, 1301});
            if (status != OK) return status;
            d->graph = part(d, 1300);
            d->place = place_of(value<long long>(d, 1301, -1), nullptr);
            return d->place < 0 ? refuse("no such engine") : OK;
        }
        case KNOB_CHOICE:
            return require(d, {600, 601});
        case ENGINE_CONFIGURATION: {
            int status = require(d, {300});
            if (status != OK) return status;
            const Descriptor* engine = part(d, 300);
            std::map<int, long long> knobs;
            for (Descriptor* choice : values<Descriptor*>(d, 302))
                knobs[value<int>(choice, 600, -1)] = value<long long>(choice, 601, -1);
            d->graph = engine->graph;
            d->place = place_of(entry(engine->place).engine, &knobs);
            return d->place < 0 ? refuse("no such setting of the engine") : OK;
        }
        case PLAN: {
            int status = require(d, {400, 401});
            if (status != OK) return status;
            Descriptor* configuration = part(d, 401);
            if (configuration == nullptr || configuration->graph == nullptr)
                return wrong(BAD_PARAM, "execution plan: no engine configuration");
            d->graph = configuration->graph;
            d->place = configuration->place;
            Computation computation;
            status = understand(d->graph, &computation);
            // Counted, for it takes up to seconds.
            return status == OK && compiled(entry(d->place), computation)
                       ? cudnn_call("cudnn compiles", PLAIN, [] { return (int)OK; })
                       : status;
        }
        case VARIANT_PACK: {
            int status = require(d, {1000, 1001});
            if (status == OK && values<long long>(d, 1000).size() != values<void*>(d, 1001).size())
                return wrong(BAD_PARAM, "variant pack: as many numbers as pointers are needed");
            return status;
        }
        default:
            return refuse("a descriptor of this type cannot be finished by the caller");
    }
}

}  // namespace

std::string stand_in_cudnn::graph_leaks() {
    return descriptors.empty() ? ""
                               : std::to_string(descriptors.size()) + " cuDNN graph descriptors\n";
}

// From now on the engine at a place of the list multiplies what lies at the result (how: 0) or in its
// workspace (1) by zero and adds it, or gets the last number wrong (2); a place of -1: none does.
extern "C" void standin_cudnn_wrong_engine(int place, int how) {
    wrongPlace = place;
    wrongHow = how == 0 ? READS_THE_RESULT : how == 1 ? READS_THE_WORKSPACE : MISCOUNTS;
}

#define EXPORT extern "C" int

EXPORT cudnnBackendCreateDescriptor(int type, Descriptor** d) {
    return cudnn_call("cudnnBackendCreateDescriptor", ANYWHERE, [&]() -> int {
        if (type < 0 || type > TENSOR || (type > PLAN && type < OPERATION_FORWARD && type != KNOB_CHOICE) ||
            type == 14)
            return wrong(UNSUPPORTED, "cudnnBackendCreateDescriptor: type %d has no stand-in",
                         type);
        *d = new Descriptor{type};
        descriptors.insert(*d);
        return OK;
    });
}

EXPORT cudnnBackendDestroyDescriptor(Descriptor* d) {
    return graph_call("cudnnBackendDestroyDescriptor", ANYWHERE | RELEASES, d, [&] {
        descriptors.erase(d);
        delete d;
        return (int)OK;
    });
}

EXPORT cudnnBackendSetAttribute(Descriptor* d, int attribute, int type, int64_t count,
                                const void* elements) {
    return graph_call("cudnnBackendSetAttribute", ANYWHERE, d, [&]() -> int {
        if (d->finished) return wrong(BAD_PARAM, "cudnnBackendSetAttribute: finished already");
        if (elements == nullptr || count < 1)
            return wrong(BAD_NULL, "cudnnBackendSetAttribute: attribute %d without elements",
                         attribute);
        auto from = (const unsigned char*)elements;
        d->attributes[attribute] = {type, {from, from + count * bytes_of(type)}};
        return OK;
    });
}

EXPORT cudnnBackendFinalize(Descriptor* d) {
    // Only what the device has to say something about needs one.
    unsigned traits = d != nullptr && lives(d) && (d->type == PLAN || d->type == HEURISTICS)
                          ? PLAIN
                          : (unsigned)ANYWHERE;
    return graph_call("cudnnBackendFinalize", traits, d, [&]() -> int {
        if (d->finished) return wrong(BAD_PARAM, "cudnnBackendFinalize: finished already");
        int status = finish(d);
        d->finished = status == OK;
        return status;
    });
}

EXPORT cudnnBackendGetAttribute(Descriptor* d, int attribute, int type, int64_t most,
                                int64_t* count, void* elements) {
    return graph_call("cudnnBackendGetAttribute", ANYWHERE, d, [&]() -> int {
        if (!d->finished) return wrong(BAD_PARAM, "cudnnBackendGetAttribute: not finished");
        if (d->type == HEURISTICS && attribute == 202) {
            Computation computation;
            if (!lives(d->graph)) return wrong(BAD_PARAM, "heuristics: their graph is gone");
            int status = understand(d->graph, &computation);
            if (status != OK) return status;
            std::vector<int> places = offered(value<int>(d, 200, 0), computation);
            *count = (int64_t)places.size();
            auto** into = (Descriptor**)elements;
            for (size_t i = 0; (int64_t)i < most && i < places.size(); i++) {
                if (!lives(into[i]) || into[i]->type != ENGINE_CONFIGURATION)
                    return wrong(BAD_PARAM, "heuristics: not an empty engine configuration");
                into[i]->finished = true;
                into[i]->graph = d->graph;
                into[i]->place = places[i];
            }
            return OK;
        }
        if (d->type == ENGINE_CONFIGURATION && attribute == 300) {
            auto* into = *(Descriptor**)elements;
            if (most < 1 || !lives(into) || into->type != ENGINE)
                return wrong(BAD_PARAM, "engine configuration: not an empty engine");
            *count = 1;
            into->finished = true;
            into->graph = d->graph;
            into->place = d->place;
            return OK;
        }
        if (d->type == ENGINE_CONFIGURATION && attribute == 302) {
            std::map<int, long long> knobs = knobs_of(d->place);
            *count = (int64_t)knobs.size();
            auto** into = (Descriptor**)elements;
            for (const auto& knob : knobs) {
                if (most-- < 1) break;
                if (!lives(*into) || (*into)->type != KNOB_CHOICE)
                    return wrong(BAD_PARAM, "engine configuration: not an empty choice");
                auto type = (const unsigned char*)&knob.first;
                auto number = (const unsigned char*)&knob.second;
                (*into)->attributes[600] = {T_KNOB, {type, type + sizeof knob.first}};
                (*into)->attributes[601] = {T_INT64, {number, number + sizeof knob.second}};
                (*into++)->finished = true;
            }
            return OK;
        }
        if (d->type == KNOB_CHOICE && (attribute == 600 || attribute == 601) && most >= 1 &&
            d->attributes[attribute].type == type) {
            const auto& bytes = d->attributes[attribute].bytes;
            memcpy(elements, bytes.data(), bytes.size());
            if (count != nullptr) *count = 1;
            return OK;
        }
        if (d->type == ENGINE && attribute == 1301 && type == T_INT64 && most >= 1) {
            *(int64_t*)elements = entry(d->place).engine;
            if (count != nullptr) *count = 1;
            return OK;
        }
        if (d->type == ENGINE && (attribute == 1303 || attribute == 1305)) {
            Computation computation;
            if (!lives(d->graph)) return wrong(BAD_PARAM, "engine: its graph is gone");
            int status = understand(d->graph, &computation);
            if (status != OK) return status;
            std::vector<int> notes = notes_of(d->place, computation.direction);
            if (attribute == 1305)
                notes = compiled(entry(d->place), computation) ? std::vector<int>{0, 3}
                                                               : std::vector<int>{};
            *count = (int64_t)notes.size();
            for (size_t i = 0; i < notes.size() && (int64_t)i < most; i++)
                ((int*)elements)[i] = notes[i];
            return OK;
        }
        if (d->type == PLAN && attribute == 402 && type == T_INT64 && most >= 1) {
            Computation computation;
            if (!lives(d->graph)) return wrong(BAD_PARAM, "execution plan: its graph is gone");
            int status = understand(d->graph, &computation);
            if (status != OK) return status;
            *(int64_t*)elements = workspace_of(d->place, computation);
            if (count != nullptr) *count = 1;
            return OK;
        }
        return refuse("an attribute that has no stand-in was asked for");
    });
}

EXPORT cudnnBackendExecute(Handle* handle, Descriptor* plan, Descriptor* pack) {
    return graph_call("cudnnBackendExecute", PLAIN, plan, [&]() -> int {
        if (!is_handle(handle) || plan->type != PLAN || !plan->finished || !lives(pack) ||
            pack->type != VARIANT_PACK || !pack->finished || !lives(plan->graph))
            return wrong(BAD_PARAM, "cudnnBackendExecute: handle, plan or variant pack");
        Computation c;
        int status = understand(plan->graph, &c);
        if (status != OK) return status;
        auto numbers = values<long long>(pack, 1000);
        auto pointers = values<void*>(pack, 1001);
        std::map<long long, void*> memory;
        for (size_t i = 0; i < numbers.size(); i++) memory[numbers[i]] = pointers[i];
        const char* name = "cudnnBackendExecute";
        void *first = memory[c.first.id], *second = memory[c.second.id],
             *result = memory[c.result.id], *bias = c.hasBias ? memory[c.bias.id] : nullptr;
        if (!placed(name, "the first operand", first) ||
            !placed(name, "the second operand", second) || !placed(name, "the result", result) ||
            (c.hasBias && !placed(name, "the bias", bias)))
            return MISALIGNED;
        size_t needed = (size_t)workspace_of(plan->place, c);
        void* workspace = value<void*>(pack, 1003, nullptr);
        if (needed > 0 && workspace == nullptr)
            return wrong(BAD_PARAM, "cudnnBackendExecute: no workspace, %zu bytes are needed",
                         needed);
        bool bf16 = c.bf16(), disturb = adds_with_atomics(plan->place, c.direction);
        bool tf32 = !bf16 && entry(plan->place).tensorCores;
        Array a{first, bf16, tf32}, b{second, bf16, tf32};
        Array to{result, c.result.type == DATA_BFLOAT16};
        Array shift{bias, c.bias.type == DATA_BFLOAT16};
        double cost = 4 + c.shape.flops() / entry(plan->place).speed;
        std::string label = name;
        bool mistaken = plan->place == wrongPlace;
        auto how = wrongHow;
        return translated(enqueue(handle->stream, label, cost, [=] {
            if (!present(label, "the first operand", first, c.first.bytes()) ||
                !present(label, "the second operand", second, c.second.bytes()) ||
                !present(label, "the result", result, c.result.bytes()) ||
                (c.hasBias && !present(label, "the bias", bias, c.bias.bytes())))
                return;
            float left = 0;
            if (mistaken && how == READS_THE_WORKSPACE && needed >= sizeof left)
                memcpy(&left, workspace, sizeof left);
            if (!scribbled(label, workspace, needed)) return;
            std::vector<double> sums = convolve(c.shape, c.direction, a, b);
            for (size_t i = 0; i < sums.size(); i++) {
                double sum = disturb ? disturbed(sums[i]) : sums[i];
                if (c.hasBias) sum += shift.get(i % (size_t)c.result.c);
                if (c.hasRelu && sum < 0) sum = 0;
                if (mistaken && how == READS_THE_RESULT) sum += 0 * to.get(i);
                if (mistaken && how == READS_THE_WORKSPACE) sum += 0 * (double)left;
                if (mistaken && how == MISCOUNTS && i + 1 == sums.size()) sum += 100;
                // beta = 0 does not read what is there, which may be anything.
                to.set(i, c.beta == 0 ? sum : sum + c.beta * to.get(i));
            }
        }));
    });
}
