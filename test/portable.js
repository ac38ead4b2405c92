process.env.WEIR_TRANSPORT = 'portable';
