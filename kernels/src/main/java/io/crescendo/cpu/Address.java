package io.crescendo.cpu;

import org.bytedeco.javacpp.Pointer;

/** A pointer that can be moved without allocating another one: replay sets addresses through one of these. */
final class Address extends Pointer {
    Address() {
        super((Pointer) null);
    }

    Address at(long newAddress) {
        this.address = newAddress;
        return this;
    }
}
