// Stand-in of libcuda.so.1: streams, events, capture and graphs. A test double: no speed and no
// numerical claim rests on it.
//
// Work waits in its stream's queue until it must have run. What it must come after is written down
// when it is put there: the work before it in the stream, the events the stream waits for, and,
// between the default stream and blocking streams, each other's last work. A graph runs its nodes
// in an order that is drawn anew at every launch from those its dependencies allow.
#include <pthread.h>
#include <stdio.h>

#include <deque>
#include <set>

#include "stand_in.h"

namespace stand_in {

struct Stream;
struct Graph;

struct Task {
    std::string name;
    double cost;
    Work work;
    std::shared_ptr<Graph> graph;  // or the launch of a graph
    std::vector<std::shared_ptr<Task>> after;
    Stream* stream;
    bool done = false;
    double finished = 0;  // by the device's clock, in microseconds
};
using TaskPointer = std::shared_ptr<Task>;

struct Node {
    std::string name;
    double cost;
    Work work;
    std::set<int> after;
};

struct Graph {
    std::vector<Node> nodes;
};

struct Capture {
    std::shared_ptr<Graph> graph = std::make_shared<Graph>();
    int mode;
    pthread_t thread;
    Stream* origin;
    bool spoiled = false;
};

struct Stream {
    bool blocking;
    bool destroyed = false;
    std::deque<TaskPointer> queue;
    TaskPointer last;
    std::vector<TaskPointer> waits;  // what the next work must come after
    std::shared_ptr<Capture> capture;
    std::set<int> ends;  // nodes that the next captured node must come after
};

struct Event {
    bool timed;
    bool destroyed = false;
    TaskPointer recorded;
    std::shared_ptr<Capture> capture;  // recorded in this capture, behind the nodes `ends`
    std::set<int> ends;
};

struct Executable {
    std::shared_ptr<Graph> graph;
    bool destroyed = false;
};

struct GraphHandle {
    std::shared_ptr<Graph> graph;
    bool destroyed = false;
};

// Handles of destroyed things stay known, so that using one is noticed.
static Stream defaultStream{true};
static std::set<Stream*> streams;
static std::set<Event*> events;
static std::set<GraphHandle*> graphs;
static std::set<Executable*> executables;
static std::set<std::shared_ptr<Capture>> captures;

enum Schedule { LAZY = 0, EAGER = 1, RANDOM = 2 };
static int schedule = LAZY;
static uint64_t randomState = 1;
static double deviceClock = 0;  // microseconds

unsigned below(unsigned bound) {  // SplitMix64
    uint64_t z = randomState += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return (unsigned)((z ^ z >> 31) % bound);
}

template <class T>
static T* alive(const std::set<T*>& all, void* handle) {
    T* object = (T*)handle;
    return all.count(object) && !object->destroyed ? object : nullptr;
}

static Stream* stream_of(void* handle) {
    // 1 and 2 name the default stream too: the legacy one, and that of the thread.
    return (size_t)handle <= 1 ? &defaultStream : alive(streams, handle);
}

bool is_stream(void* handle) { return stream_of(handle) != nullptr; }

bool is_capturing(void* handle) {
    Stream* stream = stream_of(handle);
    return stream != nullptr && stream->capture != nullptr;
}

static void run_graph(const Graph& graph);

// Runs a task and whatever must come before it.
static void complete(const TaskPointer& wanted) {
    std::vector<TaskPointer> stack{wanted};
    while (!stack.empty()) {
        TaskPointer task = stack.back();
        if (task->done) {
            stack.pop_back();
            continue;
        }
        bool ready = true;
        if (task->stream->queue.front() != task) {
            // Streams keep their order; going to the front spares a stack as deep as the queue.
            stack.push_back(task->stream->queue.front());
            continue;
        }
        for (const TaskPointer& earlier : task->after) {
            if (!earlier->done) {
                stack.push_back(earlier);
                ready = false;
            }
        }
        if (!ready) continue;
        task->stream->queue.pop_front();
        task->done = true;
        deviceClock += task->cost;
        if (task->work) run_guarded(task->name, task->work);
        if (task->graph) run_graph(*task->graph);
        task->finished = deviceClock;
        task->work = nullptr;
        task->graph = nullptr;
        task->after.clear();
        stack.pop_back();
    }
}

static int wait_for(Stream* stream) {
    if (stream->last != nullptr) complete(stream->last);
    return sticky();
}

int synchronize_stream(void* handle) { return wait_for(stream_of(handle)); }

int synchronize_everything() {
    wait_for(&defaultStream);
    for (Stream* stream : streams) wait_for(stream);
    return sticky();
}

// A device runs only what may run already. For a while one stream gets all the turns, so that it
// comes far ahead of the others wherever nothing holds it back.
void perhaps_run_some() {
    if (schedule != RANDOM) return;
    constexpr unsigned CALLS_OF_A_FAVOURITE = 200;
    static unsigned calls = 0;
    static Stream* favourite = nullptr;
    std::vector<Stream*> all(streams.begin(), streams.end());
    if (calls++ % CALLS_OF_A_FAVOURITE == 0)
        favourite = all.empty() || below(3) == 0 ? nullptr : all[below((unsigned)all.size())];
    if (favourite == nullptr) all.push_back(&defaultStream);
    for (unsigned turns = below(4); turns > 0; turns--) {
        std::vector<Stream*> ready;
        for (Stream* stream : all) {
            if (stream->queue.empty() || (favourite != nullptr && stream != favourite)) continue;
            bool free = true;
            for (const TaskPointer& earlier : stream->queue.front()->after) free &= earlier->done;
            if (free) ready.push_back(stream);
        }
        if (ready.empty()) return;
        complete(ready[below((unsigned)ready.size())]->queue.front());
    }
}

static std::shared_ptr<Capture> capture_of_this_thread() {
    for (auto& capture : captures) {
        bool here = pthread_equal(capture->thread, pthread_self()) != 0;
        // 0: global, 1: of the thread, 2: relaxed.
        if (capture->mode == 0 || (capture->mode == 1 && here)) return capture;
    }
    return nullptr;
}

bool spoil_capture_of_this_thread() {
    auto capture = capture_of_this_thread();
    if (capture == nullptr) return false;
    capture->spoiled = true;
    return true;
}

bool spoil_all_captures() {
    for (auto& capture : captures) capture->spoiled = true;
    return !captures.empty();
}

static TaskPointer add(Stream* stream, const std::string& name, double cost, Work work,
                       std::shared_ptr<Graph> graph = nullptr) {
    auto task = std::make_shared<Task>();
    task->name = name;
    task->cost = cost;
    task->work = std::move(work);
    task->graph = std::move(graph);
    task->stream = stream;
    task->after = std::move(stream->waits);
    stream->waits.clear();
    auto behind = [&](Stream* other) {
        if (other->last != nullptr && !other->last->done) task->after.push_back(other->last);
    };
    if (stream == &defaultStream) {
        for (Stream* other : streams)
            if (other->blocking) behind(other);
    } else if (stream->blocking) {
        behind(&defaultStream);
    }
    stream->queue.push_back(task);
    stream->last = task;
    if (schedule == EAGER) complete(task);
    return task;
}

int enqueue(void* handle, const std::string& name, double cost, Work work) {
    Stream* stream = stream_of(handle);
    if (stream == nullptr)
        return wrong(INVALID_HANDLE, "%s: %p is no stream", name.c_str(), handle);
    if (stream->capture != nullptr) {
        Capture& capture = *stream->capture;
        if (capture.spoiled) return CAPTURE_INVALIDATED;
        int number = (int)capture.graph->nodes.size();
        capture.graph->nodes.push_back({name, cost, std::move(work), stream->ends});
        stream->ends = {number};
        return SUCCESS;
    }
    if (stream == &defaultStream) {
        for (auto& capture : captures)
            if (capture->mode != 2 && capture->origin->blocking) {
                capture->spoiled = true;
                return wrong(CAPTURE_IMPLICIT,
                             "%s on the default stream while a blocking stream is captured",
                             name.c_str());
            }
    }
    add(stream, name, cost, std::move(work));
    return SUCCESS;
}

static void run_graph(const Graph& graph) {
    std::vector<int> missing(graph.nodes.size());
    std::vector<int> ready;
    for (size_t i = 0; i < graph.nodes.size(); i++) {
        missing[i] = (int)graph.nodes[i].after.size();
        if (missing[i] == 0) ready.push_back((int)i);
    }
    while (!ready.empty()) {
        unsigned drawn = below((unsigned)ready.size());
        int number = ready[drawn];
        ready.erase(ready.begin() + drawn);
        deviceClock += graph.nodes[number].cost;
        run_guarded(graph.nodes[number].name, graph.nodes[number].work);
        for (size_t i = 0; i < graph.nodes.size(); i++)
            if (graph.nodes[i].after.count(number) && --missing[i] == 0) ready.push_back((int)i);
    }
}

void list_streams(std::string& text) {
    auto list = [&](const char* what, auto& all) {
        size_t count = 0;
        for (auto* object : all) count += !object->destroyed;
        if (count > 0) text += std::to_string(count) + " " + what + "\n";
    };
    list("streams", streams);
    list("events", events);
    list("graphs", graphs);
    list("executable graphs", executables);
}

void destroy_streams() {
    for (Stream* stream : streams) {
        stream->queue.clear();
        stream->last = nullptr;
        stream->capture = nullptr;
        stream->destroyed = true;
    }
    defaultStream.queue.clear();
    defaultStream.last = nullptr;
    captures.clear();
    for (Event* event : events) event->destroyed = true;
    for (GraphHandle* graph : graphs) graph->destroyed = true;
    for (Executable* executable : executables) executable->destroyed = true;
}

static int no_stream(const char* name, void* handle) {
    return wrong(INVALID_HANDLE, "%s: %p is no stream", name, handle);
}

static int no_event(const char* name, void* handle) {
    return wrong(INVALID_HANDLE, "%s: %p is no event", name, handle);
}

}  // namespace stand_in

using namespace stand_in;

#define EXPORT extern "C" int

EXPORT cuStreamCreate(void** handle, unsigned flags) {
    return driver_call("cuStreamCreate", PLAIN, [&]() -> int {
        if (flags > 1) return wrong(INVALID_VALUE, "cuStreamCreate: flags %u", flags);
        Stream* stream = new Stream{flags == 0};
        streams.insert(stream);
        *handle = stream;
        return SUCCESS;
    });
}

EXPORT cuStreamCreateWithPriority(void** handle, unsigned flags, int priority) {
    if (priority > 0 || priority < -5)
        return wrong(INVALID_VALUE, "cuStreamCreateWithPriority: priority %d", priority);
    return cuStreamCreate(handle, flags);
}

EXPORT cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return driver_call("cuCtxGetStreamPriorityRange", PLAIN, [&]() -> int {
        *least = 0;
        *greatest = -5;
        return SUCCESS;
    });
}

EXPORT cuStreamDestroy_v2(void* handle) {
    return driver_call("cuStreamDestroy_v2", RELEASES, [&]() -> int {
        Stream* stream = alive(streams, handle);
        if (stream == nullptr) return no_stream("cuStreamDestroy", handle);
        if (stream->capture != nullptr) {
            stream->capture->spoiled = true;
            wrong(INVALID_VALUE, "cuStreamDestroy: the stream is being captured");
        }
        wait_for(stream);
        stream->destroyed = true;
        return SUCCESS;
    });
}

// What a waiting call answers while the stream is captured, or SUCCESS.
static int waiting_in_capture(const char* name, Stream* stream) {
    if (stream->capture == nullptr) return SUCCESS;
    stream->capture->spoiled = true;
    return wrong(CAPTURE_UNSUPPORTED, "%s of a stream that is captured", name);
}

EXPORT cuStreamSynchronize(void* handle) {
    return driver_call("cuStreamSynchronize", UNSAFE_IN_CAPTURE, [&]() -> int {
        Stream* stream = stream_of(handle);
        if (stream == nullptr) return no_stream("cuStreamSynchronize", handle);
        int status = waiting_in_capture("cuStreamSynchronize", stream);
        return status != SUCCESS ? status : wait_for(stream);
    });
}

EXPORT cuCtxSynchronize() {
    return driver_call("cuCtxSynchronize", UNSAFE_IN_CAPTURE | WAITS_FOR_DEVICE,
                       [&] { return synchronize_everything(); });
}

EXPORT cuStreamQuery(void* handle) {
    return driver_call("cuStreamQuery", UNSAFE_IN_CAPTURE, [&]() -> int {
        Stream* stream = stream_of(handle);
        if (stream == nullptr) return no_stream("cuStreamQuery", handle);
        int status = waiting_in_capture("cuStreamQuery", stream);
        if (status != SUCCESS) return status;
        if (stream->queue.empty()) return SUCCESS;
        complete(stream->queue.front());  // so that whoever asks again and again is answered
        return sticky() != SUCCESS ? sticky() : (int)NOT_READY;
    });
}

EXPORT cuStreamWaitEvent(void* streamHandle, void* eventHandle, unsigned) {
    return driver_call("cuStreamWaitEvent", PLAIN, [&]() -> int {
        Stream* stream = stream_of(streamHandle);
        Event* event = alive(events, eventHandle);
        if (stream == nullptr) return no_stream("cuStreamWaitEvent", streamHandle);
        if (event == nullptr) return no_event("cuStreamWaitEvent", eventHandle);
        if (event->capture != nullptr) {
            if (stream->capture == nullptr) {
                stream->capture = event->capture;  // this stream now takes part in the capture
                stream->ends.clear();
            } else if (stream->capture != event->capture) {
                return wrong(CAPTURE_ISOLATION, "cuStreamWaitEvent: an event of another capture");
            }
            stream->ends.insert(event->ends.begin(), event->ends.end());
            return SUCCESS;
        }
        if (stream->capture != nullptr) {
            stream->capture->spoiled = true;
            return wrong(CAPTURE_ISOLATION,
                         "cuStreamWaitEvent: a captured stream waits for an event outside");
        }
        if (event->recorded != nullptr && !event->recorded->done)
            stream->waits.push_back(event->recorded);
        return SUCCESS;
    });
}

EXPORT cuStreamGetFlags(void* handle, unsigned* flags) {
    return driver_call("cuStreamGetFlags", PLAIN, [&]() -> int {
        Stream* stream = stream_of(handle);
        if (stream == nullptr) return no_stream("cuStreamGetFlags", handle);
        *flags = stream->blocking ? 0 : 1;
        return SUCCESS;
    });
}

// ---- Events.

EXPORT cuEventCreate(void** handle, unsigned flags) {
    return driver_call("cuEventCreate", PLAIN, [&]() -> int {
        if (flags & ~3u) return wrong(INVALID_VALUE, "cuEventCreate: flags %u", flags);
        Event* event = new Event{(flags & 2) == 0};
        events.insert(event);
        *handle = event;
        return SUCCESS;
    });
}

EXPORT cuEventDestroy_v2(void* handle) {
    return driver_call("cuEventDestroy_v2", RELEASES, [&]() -> int {
        Event* event = alive(events, handle);
        if (event == nullptr) return no_event("cuEventDestroy", handle);
        event->destroyed = true;
        event->recorded = nullptr;
        event->capture = nullptr;
        return SUCCESS;
    });
}

EXPORT cuEventRecord(void* eventHandle, void* streamHandle) {
    return driver_call("cuEventRecord", PLAIN, [&]() -> int {
        Stream* stream = stream_of(streamHandle);
        Event* event = alive(events, eventHandle);
        if (stream == nullptr) return no_stream("cuEventRecord", streamHandle);
        if (event == nullptr) return no_event("cuEventRecord", eventHandle);
        if (stream->capture != nullptr) {
            if (stream->capture->spoiled) return CAPTURE_INVALIDATED;
            event->capture = stream->capture;
            event->ends = stream->ends;
            event->recorded = nullptr;
            return SUCCESS;
        }
        event->capture = nullptr;
        event->recorded = add(stream, "cuEventRecord", 0.5, nullptr);
        return SUCCESS;
    });
}

EXPORT cuEventSynchronize(void* handle) {
    return driver_call("cuEventSynchronize", UNSAFE_IN_CAPTURE, [&]() -> int {
        Event* event = alive(events, handle);
        if (event == nullptr) return no_event("cuEventSynchronize", handle);
        if (event->capture != nullptr)
            return wrong(CAPTURED_EVENT, "cuEventSynchronize: recorded in a capture");
        if (event->recorded != nullptr) complete(event->recorded);
        return sticky();
    });
}

EXPORT cuEventQuery(void* handle) {
    return driver_call("cuEventQuery", UNSAFE_IN_CAPTURE, [&]() -> int {
        Event* event = alive(events, handle);
        if (event == nullptr) return no_event("cuEventQuery", handle);
        if (event->capture != nullptr)
            return wrong(CAPTURED_EVENT, "cuEventQuery: recorded in a capture");
        if (event->recorded == nullptr || event->recorded->done) return SUCCESS;
        complete(event->recorded->stream->queue.front());
        return sticky() != SUCCESS ? sticky() : (int)NOT_READY;
    });
}

static int elapsed(float* milliseconds, void* from, void* to) {
    return driver_call("cuEventElapsedTime", PLAIN, [&]() -> int {
        Event *first = alive(events, from), *second = alive(events, to);
        if (first == nullptr) return no_event("cuEventElapsedTime", from);
        if (second == nullptr) return no_event("cuEventElapsedTime", to);
        if (!first->timed || !second->timed || first->recorded == nullptr ||
            second->recorded == nullptr)
            return wrong(INVALID_HANDLE, "cuEventElapsedTime: not recorded, or without timing");
        if (!first->recorded->done || !second->recorded->done) return NOT_READY;
        *milliseconds = (float)((second->recorded->finished - first->recorded->finished) / 1000.0);
        return SUCCESS;
    });
}

EXPORT cuEventElapsedTime(float* ms, void* from, void* to) { return elapsed(ms, from, to); }
EXPORT cuEventElapsedTime_v2(float* ms, void* from, void* to) { return elapsed(ms, from, to); }

// ---- Capture and graphs.

EXPORT cuStreamBeginCapture_v2(void* handle, int mode) {
    return driver_call("cuStreamBeginCapture_v2", PLAIN, [&]() -> int {
        Stream* stream = stream_of(handle);
        if (stream == nullptr) return no_stream("cuStreamBeginCapture", handle);
        if (stream == &defaultStream)
            return wrong(CAPTURE_UNSUPPORTED, "cuStreamBeginCapture of the default stream");
        if (stream->capture != nullptr)
            return wrong(ILLEGAL_STATE, "cuStreamBeginCapture: it is captured already");
        if (mode < 0 || mode > 2)
            return wrong(INVALID_VALUE, "cuStreamBeginCapture: mode %d", mode);
        stream->capture = std::make_shared<Capture>();
        stream->capture->mode = mode;
        stream->capture->thread = pthread_self();
        stream->capture->origin = stream;
        stream->ends.clear();
        captures.insert(stream->capture);
        return SUCCESS;
    });
}

EXPORT cuStreamEndCapture(void* handle, void** graph) {
    // The capture ends whatever happens, but no graph comes with a failure.
    int result = driver_call("cuStreamEndCapture", RELEASES, [&]() -> int {
        *graph = nullptr;
        Stream* stream = stream_of(handle);
        if (stream == nullptr) return no_stream("cuStreamEndCapture", handle);
        auto capture = stream->capture;
        if (capture == nullptr)
            return wrong(ILLEGAL_STATE, "cuStreamEndCapture: nothing is captured");
        if (capture->mode != 2 && !pthread_equal(capture->thread, pthread_self()))
            return wrong(CAPTURE_WRONG_THREAD, "cuStreamEndCapture on another thread");
        if (capture->origin != stream)
            return wrong(CAPTURE_UNMATCHED, "cuStreamEndCapture: begun on another stream");
        bool joined = true;
        std::set<int> unseen;  // nodes that nothing comes after
        for (size_t i = 0; i < capture->graph->nodes.size(); i++) unseen.insert((int)i);
        for (auto& node : capture->graph->nodes)
            for (int earlier : node.after) unseen.erase(earlier);
        for (int end : unseen) joined &= stream->ends.count(end) > 0;
        for (Stream* other : streams)
            if (other->capture == capture) {
                other->capture = nullptr;
                other->ends.clear();
            }
        captures.erase(capture);
        if (capture->spoiled) return CAPTURE_INVALIDATED;
        if (!joined)
            return wrong(CAPTURE_UNJOINED, "cuStreamEndCapture: a stream was not joined again");
        GraphHandle* made = new GraphHandle{capture->graph};
        graphs.insert(made);
        *graph = made;
        return SUCCESS;
    });
    if (result != SUCCESS && *graph != nullptr) {
        ((GraphHandle*)*graph)->destroyed = true;
        *graph = nullptr;
    }
    return result;
}

EXPORT cuStreamIsCapturing(void* handle, int* status) {
    return driver_call("cuStreamIsCapturing", PLAIN, [&]() -> int {
        Stream* stream = stream_of(handle);
        if (stream == nullptr) return no_stream("cuStreamIsCapturing", handle);
        *status = stream->capture == nullptr ? 0 : stream->capture->spoiled ? 2 : 1;
        return SUCCESS;
    });
}

EXPORT cuThreadExchangeStreamCaptureMode(int*) {
    return driver_call("cuThreadExchangeStreamCaptureMode", PLAIN, [&]() -> int {
        return wrong(NOT_SUPPORTED, "cuThreadExchangeStreamCaptureMode has no stand-in");
    });
}

EXPORT cuGraphInstantiateWithFlags(void** handle, void* graph, unsigned long long) {
    return driver_call("cuGraphInstantiateWithFlags", PLAIN, [&]() -> int {
        GraphHandle* from = alive(graphs, graph);
        if (from == nullptr)
            return wrong(INVALID_VALUE, "cuGraphInstantiate: %p is no graph", graph);
        Executable* executable = new Executable{std::make_shared<Graph>(*from->graph)};
        executables.insert(executable);
        *handle = executable;
        return SUCCESS;
    });
}

EXPORT cuGraphUpload(void* handle, void* stream) {
    return driver_call("cuGraphUpload", PLAIN, [&]() -> int {
        if (alive(executables, handle) == nullptr)
            return wrong(INVALID_VALUE, "cuGraphUpload: %p is no executable graph", handle);
        return is_stream(stream) ? (int)SUCCESS : no_stream("cuGraphUpload", stream);
    });
}

EXPORT cuGraphLaunch(void* handle, void* streamHandle) {
    return driver_call("cuGraphLaunch", PLAIN, [&]() -> int {
        Executable* executable = alive(executables, handle);
        Stream* stream = stream_of(streamHandle);
        if (executable == nullptr)
            return wrong(INVALID_VALUE, "cuGraphLaunch: %p is no executable graph", handle);
        if (stream == nullptr) return no_stream("cuGraphLaunch", streamHandle);
        if (stream->capture != nullptr)
            return wrong(NOT_SUPPORTED, "cuGraphLaunch in a capture has no stand-in");
        add(stream, "cuGraphLaunch", 2, nullptr, executable->graph);
        return SUCCESS;
    });
}

EXPORT cuGraphExecDestroy(void* handle) {
    return driver_call("cuGraphExecDestroy", RELEASES, [&]() -> int {
        Executable* executable = alive(executables, handle);
        if (executable == nullptr)
            return wrong(INVALID_VALUE, "cuGraphExecDestroy: %p is no executable graph", handle);
        executable->destroyed = true;
        executable->graph = nullptr;
        return SUCCESS;
    });
}

EXPORT cuGraphDestroy(void* handle) {
    return driver_call("cuGraphDestroy", RELEASES, [&]() -> int {
        GraphHandle* graph = alive(graphs, handle);
        if (graph == nullptr) return wrong(INVALID_VALUE, "cuGraphDestroy: %p is no graph", handle);
        graph->destroyed = true;
        graph->graph = nullptr;
        return SUCCESS;
    });
}

EXPORT cuGraphGetNodes(void* handle, void** nodes, size_t* count) {
    return driver_call("cuGraphGetNodes", PLAIN, [&]() -> int {
        GraphHandle* graph = alive(graphs, handle);
        if (graph == nullptr)
            return wrong(INVALID_VALUE, "cuGraphGetNodes: %p is no graph", handle);
        if (nodes != nullptr) return wrong(NOT_SUPPORTED, "cuGraphGetNodes only counts here");
        *count = graph->graph->nodes.size();
        return SUCCESS;
    });
}

// ---- What tests call.

// 0: work runs as late as it may. 1: at once. 2: now and then, drawn from the seed.
extern "C" void standin_schedule(int mode, uint64_t seed) {
    schedule = mode;
    randomState = seed;
}
