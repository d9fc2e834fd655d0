package io.crescendo.bench.gpu;

/** One network, batch and precision. */
record Case(String network, int batch, String precision) {
    /** From {@code NETWORK:BATCH:PRECISION}. */
    static Case of(String text) {
        String[] parts = text.split(":", -1);
        if (parts.length != 3) {
            throw new IllegalArgumentException(
                    "case '" + text + "' must be NETWORK:BATCH:PRECISION, such as wide-resnet-16-4:128:bf16");
        }
        return new Case(parts[0], Integer.parseInt(parts[1]), parts[2]);
    }

    String text() {
        return network + ":" + batch + ":" + precision;
    }
}
