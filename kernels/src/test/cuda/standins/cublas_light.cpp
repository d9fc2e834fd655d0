// Stand-in of libcublasLt.so, which libcublas.so needs. A test double.
extern "C" int lightMajor() { return 12; }
