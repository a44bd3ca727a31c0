"""What a rack does so that machines find it: addresses (DHCP), the first stage of booting (TFTP), and router
advertisements. Addresses are given by programs of proven worth; this package writes their configuration."""
