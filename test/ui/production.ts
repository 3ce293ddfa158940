/** Imported before React: its development build takes several times as long for each frame, and is not what runs. */
process.env.NODE_ENV = 'production';
