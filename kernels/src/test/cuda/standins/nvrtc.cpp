// Stand-in of libnvrtc.so: a program's "binary" is its source, which the stand-in of the driver
// knows again. It checks what the real one would stumble over first: headers that are not given,
// options that do not exist. A test double: it compiles nothing.
#include <string.h>

#include <map>
#include <set>
#include <string>

#include "stand_in.h"

using namespace stand_in;

enum Nvrtc {
    OK = 0,
    NVRTC_OUT_OF_MEMORY = 1,
    INVALID_INPUT = 3,
    INVALID_PROGRAM = 4,
    INVALID_OPTION = 5,
    COMPILATION = 6,
    INTERNAL_ERROR = 11
};

struct Program {
    std::string source;
    std::map<std::string, std::string> headers;
    std::string included;  // the text of all headers that it needs
    std::string log;
    std::string binary;  // empty until it is compiled
    bool real = false;   // for a real architecture (sm_), so that there is a cubin
};

static std::set<Program*> programs;

static int translated(int status) {
    return status == SUCCESS         ? OK
           : status == OUT_OF_MEMORY ? NVRTC_OUT_OF_MEMORY
                                     : (int)INTERNAL_ERROR;
}

static int nvrtc_call(const char* name, unsigned traits, const std::function<int()>& body) {
    // The compiler needs neither device nor context.
    return call(name, ANYWHERE | traits, translated, body);
}

// The headers that a text includes, directly or through others; adds those that are missing to the
// log.
static void resolve(Program& program, const std::string& text, std::set<std::string>& seen) {
    size_t at = 0;
    while ((at = text.find("#include", at)) != std::string::npos) {
        size_t begin = text.find_first_of("\"<", at), line = text.find('\n', at);
        bool first = at == 0 || text[at - 1] == '\n';
        at += strlen("#include");
        if (begin == std::string::npos || begin > line || !first) continue;
        size_t end = text.find_first_of("\">", begin + 1);
        std::string name = text.substr(begin + 1, end - begin - 1);
        if (!seen.insert(name).second) continue;
        auto found = program.headers.find(name);
        if (found == program.headers.end()) {
            program.log += "error: cannot open source file \"" + name + "\"\n";
        } else {
            program.included += found->second + "\n";
            resolve(program, found->second, seen);
        }
    }
}

#define EXPORT extern "C" int

EXPORT nvrtcVersion(int* major, int* minor) {
    return nvrtc_call("nvrtcVersion", PLAIN, [&] {
        *major = 12;
        *minor = 6;
        return (int)OK;
    });
}

EXPORT nvrtcCreateProgram(Program** handle, const char* source, const char*, int headers,
                          const char* const* texts, const char* const* names) {
    return nvrtc_call("nvrtcCreateProgram", PLAIN, [&]() -> int {
        if (source == nullptr) return wrong(INVALID_INPUT, "nvrtcCreateProgram: no source");
        Program* program = new Program;
        program->source = source;
        for (int i = 0; i < headers; i++) program->headers[names[i]] = texts[i];
        programs.insert(program);
        *handle = program;
        return OK;
    });
}

EXPORT nvrtcDestroyProgram(Program** handle) {
    return nvrtc_call("nvrtcDestroyProgram", RELEASES, [&]() -> int {
        if (!programs.erase(*handle)) return wrong(INVALID_PROGRAM, "nvrtcDestroyProgram: none");
        delete *handle;
        *handle = nullptr;
        return OK;
    });
}

static int with(const char* name, Program* program, bool compiled,
                const std::function<int()>& body) {
    return nvrtc_call(name, PLAIN, [&]() -> int {
        if (!programs.count(program)) return wrong(INVALID_PROGRAM, "%s: no program", name);
        if (compiled && program->binary.empty())
            return wrong(INVALID_PROGRAM, "%s: not compiled", name);
        return body();
    });
}

EXPORT nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    return with("nvrtcCompileProgram", program, false, [&]() -> int {
        program->log.clear();
        program->included.clear();
        for (int i = 0; i < count; i++) {
            std::string option = options[i];
            if (option.rfind("-", 0) != 0) {
                program->log = "unknown option: " + option + "\n";
                return wrong(INVALID_OPTION, "nvrtcCompileProgram: option '%s'", options[i]);
            }
            if (option.find("sm_") != std::string::npos) program->real = true;
        }
        std::set<std::string> seen;
        resolve(*program, program->source, seen);
        if (!program->log.empty()) return COMPILATION;
        // A test that wants a compiler's error writes one into the source.
        if (program->source.find("#error") != std::string::npos) {
            program->log = "error: #error directive\n";
            return COMPILATION;
        }
        program->binary = "// stand-in of NVRTC\n" + program->source + program->included;
        return OK;
    });
}

static int copy(char* to, const std::string& text) {
    memcpy(to, text.c_str(), text.size() + 1);
    return OK;
}

static int size(size_t* bytes, const std::string& text) {
    *bytes = text.size() + 1;
    return OK;
}

EXPORT nvrtcGetProgramLogSize(Program* p, size_t* bytes) {
    return with("nvrtcGetProgramLogSize", p, false, [&] { return size(bytes, p->log); });
}
EXPORT nvrtcGetProgramLog(Program* p, char* to) {
    return with("nvrtcGetProgramLog", p, false, [&] { return copy(to, p->log); });
}
EXPORT nvrtcGetPTXSize(Program* p, size_t* bytes) {
    return with("nvrtcGetPTXSize", p, true, [&] { return size(bytes, p->binary); });
}
EXPORT nvrtcGetPTX(Program* p, char* to) {
    return with("nvrtcGetPTX", p, true, [&] { return copy(to, p->binary); });
}
EXPORT nvrtcGetCUBINSize(Program* p, size_t* bytes) {
    return with("nvrtcGetCUBINSize", p, true, [&]() -> int {
        if (p->real) return size(bytes, p->binary);
        *bytes = 0;  // as the real one for a virtual architecture
        return OK;
    });
}
EXPORT nvrtcGetCUBIN(Program* p, char* to) {
    return with("nvrtcGetCUBIN", p, true, [&]() -> int {
        return p->real ? copy(to, p->binary)
                       : wrong(INVALID_PROGRAM, "nvrtcGetCUBIN: compiled for compute_, not sm_");
    });
}

static const int ARCHITECTURES[] = {75, 80, 86, 89, 90};

EXPORT nvrtcGetNumSupportedArchs(int* count) {
    return nvrtc_call("nvrtcGetNumSupportedArchs", PLAIN, [&] {
        *count = (int)(sizeof ARCHITECTURES / sizeof *ARCHITECTURES);
        return (int)OK;
    });
}
EXPORT nvrtcGetSupportedArchs(int* to) {
    return nvrtc_call("nvrtcGetSupportedArchs", PLAIN, [&] {
        memcpy(to, ARCHITECTURES, sizeof ARCHITECTURES);
        return (int)OK;
    });
}

extern "C" const char* nvrtcGetErrorString(int status) {
    switch (status) {
        case OK:
            return "NVRTC_SUCCESS";
        case NVRTC_OUT_OF_MEMORY:
            return "NVRTC_ERROR_OUT_OF_MEMORY";
        case INVALID_INPUT:
            return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_PROGRAM:
            return "NVRTC_ERROR_INVALID_PROGRAM";
        case INVALID_OPTION:
            return "NVRTC_ERROR_INVALID_OPTION";
        case COMPILATION:
            return "NVRTC_ERROR_COMPILATION";
        default:
            return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

extern "C" const char* standin_nvrtc_leaks() {
    static std::string text;
    text = programs.empty() ? "" : std::to_string(programs.size()) + " NVRTC programs\n";
    return text.c_str();
}
