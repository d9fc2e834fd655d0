package io.crescendo.cli.config;

/** A key of a configuration has a value that cannot be. */
final class InvalidKeyException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    private final String key;

    InvalidKeyException(String key, String message) {
        super(key + " " + message);
        this.key = key;
    }

    /** Dotted path of the key, {@code learningRate.factor} say. */
    String key() {
        return key;
    }
}
