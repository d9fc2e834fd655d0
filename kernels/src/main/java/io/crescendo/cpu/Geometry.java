package io.crescendo.cpu;

import io.crescendo.autograd.Window;

/** The numbers of a window as oneDNN takes them. */
final class Geometry {
    final long[] kernel;
    final long[] strides;
    /** Counts the holes between two elements of a kernel, so 0 is an ordinary one. */
    final long[] dilations = {0, 0};

    final long[] padBefore;
    final long[] padAfter;

    Geometry(Window window) {
        kernel = new long[] {window.kernelHeight(), window.kernelWidth()};
        strides = new long[] {window.strideHeight(), window.strideWidth()};
        padBefore = new long[] {window.padTop(), window.padLeft()};
        padAfter = new long[] {window.padBottom(), window.padRight()};
    }
}
